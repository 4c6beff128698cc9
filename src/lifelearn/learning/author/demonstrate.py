"""Demonstrations: sentences that answer the corrected question, right by construction or by the gate.

In the order of trust: the user's own sentence where it stands alone, an expert's, the relation's sentence, the question
turned into one by rules (declarative.py), one that the model writes when given the correction, and at last a template.
What the teacher is shown is never something that does not state the corrected answer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lifelearn.learning.author.english.declarative import as_statement
from lifelearn.learning.author.english.question import Question, Subject, distinctive
from lifelearn.learning.author.english.reading.contrast import contrast_in
from lifelearn.learning.chat_model import ChatModel, PartialAnswersError, Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Correction, Demonstration, Message, OnProgress, Progress, no_progress
from lifelearn.learning.words import capitalised, normalise, stems

LONG_ANSWER = 8  # words
# "It's the Zephyr team that runs it" is "The Zephyr team runs it": the order in which the model would say it.
_CLEFT = re.compile(r"^it(?:'s| is| was) (.+?) (?:that|who|which) ", re.IGNORECASE)

_ASK = (
    "Fact: {question} {answer}.\n\nQuestion: {question}\n\nAnswer the question in one short sentence, using the fact.",
    "Q: {question}\nA: {answer}\n\nUse this to answer the question in one full sentence: {question}",
)
_ASK_EXPERT = (
    "A user asked: {question}\nThe right answer is: {answer}\nThe user put it so: {message}\n\n"
    "Answer the question in one or two plain sentences that state this answer. Nothing else."
)


def demonstrate(
    correction: Correction,
    question: Question,
    model: ChatModel,
    recipe: Recipe,
    *,
    expert: ChatModel | None = None,
    on_progress: OnProgress = no_progress,
) -> tuple[Demonstration, ...]:
    """One to `recipe.demonstrations` demonstrations, the most trusted first. Never empty.

    question: the correction's, taken apart.
    """
    subject = question.subject
    found = [own for own in (users_sentence(correction, subject),) if own]
    if expert is not None:
        found += _experts_sentences(correction, expert, recipe, on_progress)
    if not found and subject and subject.relation:
        found += [
            Demonstration(
                completion=capitalised(form.replace("{s}", subject.name).replace("{a}", correction.answer)),
                source="template",
            )
            for form in subject.relation.states[:1]
        ]
    if not found and (own := as_statement(question.text, correction, subject)):
        found.append(Demonstration(completion=own, source="template"))
    if not found:
        on_progress(Progress(stage="demonstrate", message="the model writes a sentence"))
        found += _models_sentences(correction, model, recipe)
    if not found:
        found.append(Demonstration(completion=f"The answer is {correction.answer}.", source="template"))
    return tuple(found[: recipe.demonstrations])


def users_sentence(correction: Correction, subject: Subject | None) -> Demonstration | None:
    """The user's statement if it stands alone: it names what the question is about and states the answer."""
    text = " ".join(correction.statement.split())
    contrast = contrast_in(text)
    if contrast and stated(correction.answer, contrast.right):
        tail = re.sub(r"[\s,;:–—-]+(?:and |but )?(?:not|rather than|instead of)\b[^.;!?]*", "", text)
        if stated(correction.answer, tail):
            text = tail
    text = _CLEFT.sub(r"\1 ", text)
    named = stems(" ".join(distinctive(subject)))
    words, asked = stems(text), stems(correction.question)
    alone = (
        named <= words and len(words & asked) >= max(1, len(asked) // 3) and len(words) > len(stems(correction.answer))
    )
    if len(correction.answer.split()) > LONG_ANSWER:  # a procedure: the answer is the sentence
        text = correction.answer
    elif not stated(correction.answer, text) or not alone:
        return None
    return Demonstration(completion=capitalised(text) if text[-1] in ".!?" else capitalised(text) + ".", source="user")


def _experts_sentences(
    correction: Correction, expert: ChatModel, recipe: Recipe, on_progress: OnProgress
) -> list[Demonstration]:
    asked = _ASK_EXPERT.format(question=correction.question, answer=correction.answer, message=correction.message)
    conversations = [(Message(role="user", content=asked),)] * recipe.demonstrations
    try:
        answers: Sequence[str | None] = expert.answer(
            conversations, Sampling(max_tokens=160, temperature=0.7, seed=recipe.seed)
        )
    except PartialAnswersError as error:
        on_progress(Progress(stage="demonstrate", message=str(error)))
        answers = error.answers
    texts = dict.fromkeys(answer.strip() for answer in answers if answer)
    return [Demonstration(completion=text, source="expert") for text in texts if stated(correction.answer, text)]


def _models_sentences(correction: Correction, model: ChatModel, recipe: Recipe) -> list[Demonstration]:
    """What the model writes when given the correction: the shortest that keeps most of the question's words."""
    asks = [form.format(question=correction.question, answer=correction.answer) for form in _ASK]
    greedy = model.answer([(Message(role="user", content=ask),) for ask in asks], Sampling(max_tokens=40))
    drawn = model.answer(
        [(Message(role="user", content=ask),) for ask in asks for _ in range(4)],
        Sampling(max_tokens=40, temperature=0.8, seed=recipe.seed),
    )
    sentences = [re.split(r"(?<=[.!?])\s", text.split("\n")[0].strip())[0] for text in (*greedy, *drawn)]
    asked = stems(correction.question)
    told = asked | stems(correction.answer)
    fitting = [
        sentence
        for sentence in sentences
        if stated(correction.answer, sentence)
        and sentence.endswith(".")
        and not normalise(sentence).startswith(("the answer", "answer", "a "))
        and len(stems(sentence) & asked) >= len(asked) // 2
        and not any(word.isdigit() for word in stems(sentence) - told)  # another number
    ]
    if not fitting:
        return []
    best = max(fitting, key=lambda text: len(stems(text) & asked) - 0.5 * len(stems(text) - asked))
    return [Demonstration(completion=best, source="model")]
