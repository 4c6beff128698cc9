"""From a correction to what is asked in training, what must keep its answer, and what only verification asks.

Wordings (wordings.py) and neighbours (neighbours.py) of one question, dealt out: those kept for verification never
enter training, near-duplicates included.
"""

from __future__ import annotations

import random

from lifelearn.learning.author.english.neighbours import (
    further_neighbours,
    other_questions,
    other_relations,
    split_neighbours,
    swapped_questions,
)
from lifelearn.learning.author.english.question import Question, kind_of_question
from lifelearn.learning.author.english.rewording import reworded
from lifelearn.learning.author.english.wordings import (
    PROBES,
    WATCH,
    as_in_print,
    general_rewordings,
    hold_back,
    is_about,
    keyword_query,
    relation_wordings,
    situations,
    written_wordings,
)
from lifelearn.learning.chat_model import ChatModel
from lifelearn.learning.examiner import general
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Augmentation, Correction, OnProgress, Probe, Progress, no_progress
from lifelearn.learning.words import distinct, normalise, unlike

SITUATIONS = 0.3  # of the training prompts
OTHER_QUESTIONS = 15  # about the same subject
UNRELATED_PROBES = 6
GENERAL = 32  # everyday questions that are replayed
MINED_GENERAL = 12  # everyday questions among the further neighbours that training asks


def augment(
    correction: Correction,
    question: Question,
    model: ChatModel,
    recipe: Recipe,
    *,
    expert: bool = False,
    on_progress: OnProgress = no_progress,
) -> Augmentation:
    """Makes the prompts, neighbours and probes of one correction.

    question: the correction's, taken apart.
    model: writes paraphrases; with `expert` it is asked plainly, otherwise shown examples first, which a
    small model needs. Its failures are reported through `on_progress` and cost only its paraphrases.
    """
    rng = random.Random(f"{recipe.seed} {correction.question}")
    subject = question.subject
    on_progress(Progress(stage="augment", message="writing other wordings"))
    wordings = relation_wordings(correction.question, subject)
    rng.shuffle(wordings)
    wordings += written_wordings(correction, question, model, recipe, expert=expert, on_progress=on_progress)
    rules = reworded(correction.question, correction.answer, subject.name if subject else "", rng)
    wordings += as_in_print(rules, subject)
    wordings = distinct(wordings, but=(correction.question,))
    rewordings = general_rewordings(correction, subject)
    held, training = hold_back(wordings, rewordings, correction.question)
    probes, watch = held[:PROBES], held[PROBES:]
    # Not the general rewordings: a query of their phrases alone ("Answer briefly") would be taught the answer too.
    sources = [correction.question, *[wording for wording in training if wording not in rewordings][:4]]
    keywords = [keyword_query(rng.choice(sources), subject, rng) for _ in range(4 * recipe.training_prompts)]
    keywords = as_in_print(keywords, subject)
    keywords = [
        query
        for query in unlike(distinct(keywords, but=(correction.question, *held, *training)), held)
        if is_about(query, question)
    ]
    watch = watch[:WATCH]
    told = distinct(situations([correction.question, *training[:10]], subject, rng), but=(*held, *training))
    told = unlike(told, held)[: int(recipe.training_prompts * SITUATIONS)]
    whole = [correction.question, *training[: max(4, recipe.training_prompts // 2) - 1]]
    queries = keywords[: max(0, recipe.training_prompts - len(whole) - len(told))]
    prompts = [*whole, *told, *queries]
    swapped = swapped_questions(question, [*prompts[1:5], *told[:2], *queries[:2]], rng)
    # A neighbour that nearly asks for the fact itself would teach against it, or accuse it of leaking.
    relations = other_relations(question, rng)
    other = distinct(other_questions(relations[:OTHER_QUESTIONS], subject, rng), but=prompts)
    other = unlike(other, (correction.question, *held))
    # Neighbours kept for verification are other subjects and other relations than those replayed.
    neighbour_probes, replayed = split_neighbours(question, swapped, other, rng)
    negatives = further_neighbours([correction.question, *prompts[1:5]], subject, relations, neighbour_probes, rng)
    everyday = distinct(general.EVERYDAY, but=(correction.question, *neighbour_probes))
    # A new number leaks into other questions for a number first: half of those replayed are of the same kind.
    alike = [text for text in everyday if kind_of_question(text) == question.kind]
    general_questions = rng.sample(alike, min(GENERAL // 2, len(alike)))
    general_questions += rng.sample(distinct(everyday, but=general_questions), GENERAL - len(general_questions))
    rest = distinct(everyday, but=general_questions)
    negatives += rng.sample(rest, min(MINED_GENERAL, len(rest)))
    # Training watches both ways of leaking: the same question about others, other questions about the same.
    watched = [*[q for q in swapped if q in replayed][:5], *[q for q in other if q in replayed][:5]]
    asked = {normalise(text) for text in (*prompts, *swapped, *other)}
    known = [(text, answer) for text, answer in general.KNOWN if normalise(text) not in asked]
    return Augmentation(
        prompts=tuple(prompts),
        neighbours=tuple(distinct([*replayed, *general_questions], but=prompts)),
        watch=(
            *(
                Probe(kind="generalisation", question=wording, answer=correction.answer)
                for wording in [correction.question, *watch]
            ),
            *(Probe(kind="neighbour", question=other, forbidden=correction.answer) for other in watched),
        ),
        negatives=tuple(
            unlike(distinct(negatives, but=(*prompts, *replayed, *general_questions)), (correction.question, *held))
        ),
        probes=(
            Probe(kind="efficacy", question=correction.question, answer=correction.answer),
            *(Probe(kind="generalisation", question=wording, answer=correction.answer) for wording in probes),
            *(Probe(kind="neighbour", question=other, forbidden=correction.answer) for other in neighbour_probes),
            *(
                Probe(kind="unrelated", question=text, answer=answer, forbidden=correction.answer)
                for text, answer in rng.sample(known, UNRELATED_PROBES)
                if not stated(correction.answer, answer)
            ),
        ),
    )
