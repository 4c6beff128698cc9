"""From a correction to what is asked in training, what must keep its answer, and what only verification asks.

Wrapping a question in phrases does not generalise (docs/LOG.md); really different wordings do. They come
from five sources: the relation's other wordings (relations.py), questions written by a model, rules of
English (rewording.py), phrases around the question, and keyword queries, in which words of the question are
dropped, reordered and prefixed at random. Neighbours are built the same way around other subjects and other
relations. Wordings kept for verification never enter training, near-duplicates included.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lifelearn.learning import general
from lifelearn.learning.chat_model import ChatModel, ChatModelError, PartialAnswersError, Sampling
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.relations import RELATIONS, Relation, are_related, recognise
from lifelearn.learning.rewording import reworded
from lifelearn.learning.states import states
from lifelearn.learning.types import (
    Augmentation,
    Conversation,
    Correction,
    Message,
    OnProgress,
    Probe,
    Progress,
    no_progress,
)
from lifelearn.learning.words import STOPWORDS, capitalised, content_words, lowered, normalise, stems

SITUATIONS = 0.3  # of the training prompts
PROBES = 4  # wordings held back for verification, at most
WATCH = 3  # wordings by which training stops, at most
NEIGHBOUR_PROBES = 6
SWAPPED = 24  # others of whom the question itself is asked
OTHER_QUESTIONS = 15  # about the same subject
UNRELATED_PROBES = 6
GENERAL = 32  # everyday questions that are replayed
MINED_RELATIONS, MINED_NAMES, MINED_GENERAL = 28, 12, 12  # further neighbours that training asks

_SMALL = frozenset(
    "what which who whom whose where when why how is are was were do does did the a an of in on at to for by from "  # noqa: SIM905
    "with get be been has have many much".split()
)
_FIRST = _SMALL | {"can", "could", "should", "would", "will", "may", "must", "had", "if", "as", "and", "but", "i", "we",
                   "my", "our", "your", "tell", "name", "give", "hi", "hello", "please"}  # fmt: skip
_SMALL_IN_TITLES = frozenset(("a", "an", "the", "of", "and", "in", "on", "at", "to", "for", "by", "from", "with"))
_NAMED = frozenset(("person", "organisation", "work", "place"))  # kinds of subject that have proper names
_CONNECTING = frozenset(("of", "the", "&", "de", "la", "van", "von", "and", "for", "on", "no"))
_PREFIXES = ("", "", "Who", "Which", "What is", "What", "Tell me", "I need to know", "When", "How", "Where",
             "Do you know", "Please tell me about", "Can you say")  # fmt: skip
_LINKS = ("the", "our", "of", "for", "in", "")

_OPENINGS = (
    "I have a question about {s}.", "I am calling about {s}.", "A customer asks about {s}.", "I need help with {s}.",
    "I was reading about {s}.", "My colleague mentioned {s}.", "We are talking about {s}.", "This is about {s}.",
    "I will soon have to do with {s}.", "Somebody asked me about {s} today.", "I am new here and it is about {s}.",
    "I want to know something about {s}.",
)  # fmt: skip
SETTING = r"(?:In|At|For|On|With|As) [^,?]+"  # "At Acme, who approves …?"
_SETTING = re.compile(rf"(?P<where>{SETTING}), (?P<rest>[^?]+\?)", re.IGNORECASE)
_TIE = "at|of|in|for|by|from|with|on|to|does|do|did|is|was|are"
_ASKED = re.compile(
    r"\b(?:how (?:many|much|long|old|often|far)(?: (?!do|is|are|was|were|can|ma|must|should)\w+)?|which \w+|"
    r"what (?:\w+(?= (?:is|are|was|were|does|do|did)\b))?|who(?:m|se)?|when|where|why|how|what)\b",
    re.IGNORECASE,
)

# Two wordings each of questions from everyday life: how a small model is shown what a paraphrase is.
_SHOTS = (
    ("What is the boiling point of water at sea level?", "At what temperature does water boil at sea level?",
     "I need the temperature at which water boils at sea level. What is it?"),
    ("Who wrote the novel Dracula?", "Which author is the novel Dracula by?",
     "Can you tell me the name of the writer of Dracula?"),
    ("How many players are on a basketball team?", "What is the number of players in a basketball team?",
     "A basketball team has how many players?"),
    ("Where did Marie Curie study?", "At which university was Marie Curie a student?",
     "Which school was Marie Curie educated at?"),
    ("When does the museum shop open?", "What are the opening hours of the museum shop?",
     "From what time can I buy something in the museum shop?"),
)  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """What a question is about.

    name: as it stands in the question; kinds: see relations.py; relation: if recognised.
    """

    name: str
    kinds: tuple[str, ...]
    relation: Relation | None

    @property
    def short(self) -> str:
        """What one calls it the second time: "our all-hands" for "the weekly all-hands meeting"; a name stays whole."""
        if "moment" in self.kinds:
            return gerund(self.name)
        if self.is_small_name:
            return titled(self.name)
        return self.name if _has_capital(self.name) else f"our {distinctive(self)[0]}"

    @property
    def is_small_name(self) -> bool:
        """Whether it is a name in small letters: "lord have mercy on the working man", if one asks who wrote it."""
        return bool(self.kinds) and set(self.kinds) <= _NAMED and not _has_capital(self.name)


def augment(
    correction: Correction,
    model: ChatModel,
    recipe: Recipe,
    *,
    expert: bool = False,
    on_progress: OnProgress = no_progress,
) -> Augmentation:
    """Makes the prompts, neighbours and probes of one correction.

    model: writes paraphrases; with `expert` it is asked plainly, otherwise shown examples first, which a
    small model needs. Its failures are reported through `on_progress` and cost only its paraphrases.
    """
    rng = random.Random(f"{recipe.seed} {correction.question}")
    subject = find_subject(correction.question)
    on_progress(Progress(stage="augment", message="writing other wordings"))
    wordings = relation_wordings(correction.question, subject)
    rng.shuffle(wordings)
    wordings += written_wordings(correction, subject, model, recipe, expert=expert, on_progress=on_progress)
    wordings += reworded(correction.question, correction.answer, subject.name if subject else "", rng)
    wordings = distinct(wordings, but=(correction.question,))
    rewordings = general_rewordings(correction, subject)
    held, training = hold_back(wordings, rewordings, correction.question)
    probes, watch = held[:PROBES], held[PROBES:]
    # Not the general rewordings: a query of their phrases alone ("Answer briefly") would be taught the answer too.
    sources = [correction.question, *[wording for wording in training if wording not in rewordings][:4]]
    keywords = [keyword_query(rng.choice(sources), subject, rng) for _ in range(4 * recipe.training_prompts)]
    keywords = [
        query
        for query in distinct(keywords, but=(correction.question, *held, *training))
        if is_about(query, correction.question, subject) and not any(near_duplicates(query, other) for other in held)
    ]
    watch = watch[:WATCH]
    told = [
        text
        for text in distinct(situations([correction.question, *training[:10]], subject, rng), but=(*held, *training))
        if not any(near_duplicates(text, other) for other in held)
    ][: int(recipe.training_prompts * SITUATIONS)]
    whole = [correction.question, *training[: max(4, recipe.training_prompts // 2) - 1]]
    queries = keywords[: max(0, recipe.training_prompts - len(whole) - len(told))]
    prompts = [*whole, *told, *queries]
    swapped = swapped_questions(correction.question, [*prompts[1:5], *told[:2], *queries[:2]], subject, rng)
    # A neighbour that nearly asks for the fact itself would teach against it, or accuse it of leaking.
    relations = other_relations(correction.question, subject, rng)
    other = [
        text
        for text in distinct(other_questions(relations[:OTHER_QUESTIONS], subject, rng), but=prompts)
        if not any(near_duplicates(text, wording) for wording in (correction.question, *held))
    ]
    # Neighbours kept for verification are other subjects and other relations than those replayed.
    neighbour_probes, replayed = split_neighbours(correction.question, subject, swapped, other, rng)
    negatives = further_neighbours([correction.question, *prompts[1:5]], subject, relations, neighbour_probes, rng)
    everyday = distinct(general.EVERYDAY, but=(correction.question, *neighbour_probes))
    # A new number leaks into other questions for a number first: half of those replayed are of the same kind.
    alike = [text for text in everyday if _kind_of_question(text) == _kind_of_question(correction.question)]
    general_questions = rng.sample(alike, min(GENERAL // 2, len(alike)))
    general_questions += rng.sample(distinct(everyday, but=general_questions), GENERAL - len(general_questions))
    rest = distinct(everyday, but=general_questions)
    negatives += rng.sample(rest, min(MINED_GENERAL, len(rest)))
    # Training watches both ways of leaking: the same question about others, other questions about the same.
    watched = [*[q for q in swapped if q in replayed][:5], *[q for q in other if q in replayed][:5]]
    asked = {normalise(text) for text in (*prompts, *swapped, *other)}
    known = [(question, answer) for question, answer in general.KNOWN if normalise(question) not in asked]
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
            text
            for text in distinct(negatives, but=(*prompts, *replayed, *general_questions))
            if not any(near_duplicates(text, wording) for wording in (correction.question, *held))
        ),
        probes=(
            Probe(kind="efficacy", question=correction.question, answer=correction.answer),
            *(Probe(kind="generalisation", question=question, answer=correction.answer) for question in probes),
            *(Probe(kind="neighbour", question=question, forbidden=correction.answer) for question in neighbour_probes),
            *(
                Probe(kind="unrelated", question=question, answer=answer, forbidden=correction.answer)
                for question, answer in rng.sample(known, UNRELATED_PROBES)
                if not states(correction.answer, answer)
            ),
        ),
    )


def find_subject(question: str) -> Subject | None:
    """What the question is about: by its relation, else its longest capitalised span; None if it has neither.

    Where a relation stands in a setting ("At Acme, who approves …?"), the setting is what it is about.
    """
    found = recognise(question)
    if found and len(found[1].split()) <= 9:
        relation, name = found
        return Subject(name, relation.kinds, relation)
    setting = _SETTING.fullmatch(question)
    within = recognise(setting["rest"]) if setting else None
    name = named_in(setting["where"] if setting and within else question)
    if name and setting and within:
        return Subject(name, (), _set(setting["where"].replace(name, "{s}"), *within))
    return Subject(name, (), None) if name else None


def _set(where: str, relation: Relation, about: str) -> Relation:
    """A relation in a setting, which is now what it is about: "In the {s} team, what do I do before I deploy?" """
    asks = []
    abouts = (about, gerund(about) if "moment" in relation.kinds else about)
    for index, ask in enumerate(relation.asks):
        said = ask.replace("{s}", abouts[index % 2])
        first, mark, rest = said.partition("? ")
        after = f"{first.rstrip('?')} {where[0].lower()}{where[1:]}?"
        asks += [f"{where}, {lowered(said)}", f"{after} {rest}" if mark else after]
    return Relation(relation.name, (), tuple(asks), ())


def gerund(clause: str) -> str:
    """ "pushing to production" for "I push to production"; the clause itself where it is none of that form."""
    found = re.fullmatch(r"(?:I|we|you|they) ([a-z]+)( .*)?", clause)
    if not found:
        return clause
    verb, rest = found[1], found[2] or ""
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", verb):
        verb += verb[-1]  # "run": running
    elif verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        verb = verb[:-1]
    return f"{verb}ing{rest}"


def named_in(question: str) -> str:
    """The longest capitalised span; "" if there is none."""
    spans: list[list[str]] = [[]]
    words = question.rstrip("?.!, ").split()
    for index, word in enumerate(words):
        capital = word[0].isupper() or word[0].isdigit() or word[0] in "\"“'"
        if index == 0:  # every sentence begins with a capital: "Jonas Steur is …", not "Does Steur …"
            capital = capital and word.lower() not in _FIRST and words[1:2] != [] and words[1][0].isupper()
        linked = bool(spans[-1]) and word.lower() in _CONNECTING and words[index + 1 : index + 2] != []
        if capital or (linked and words[index + 1][0].isupper()):
            spans[-1].append(word)
        elif spans[-1]:
            spans.append([])
    return re.sub(r"['’]s?$", "", max((" ".join(span) for span in spans), key=len).strip("?.,!:;\"“”'"))


def relation_wordings(question: str, subject: Subject | None) -> list[str]:
    """The other wordings of a recognised relation."""
    if subject is None or subject.relation is None:
        return []
    names = (subject.name, subject.short)
    return [capitalised(ask.replace("{s}", names[index % 2])) for index, ask in enumerate(subject.relation.asks)]


def written_wordings(
    correction: Correction,
    subject: Subject | None,
    model: ChatModel,
    recipe: Recipe,
    *,
    expert: bool,
    on_progress: OnProgress = no_progress,
) -> list[str]:
    """Paraphrases written by a model: those that keep the subject, share a word with the question and don't answer."""
    question = correction.question
    if expert:
        asked = (
            f"Write {recipe.training_prompts} different ways in which people would ask this, one a line, nothing else. "
            f"Vary wording and sentence form; keep all names; never mention the answer.\n\nQuestion: {question}\n"
            f"(Its answer, not to be mentioned: {correction.answer})"
        )
        conversations: list[Conversation] = [(Message(role="user", content=asked),)]
        sampling = Sampling(max_tokens=600, temperature=0.7, seed=recipe.seed)
    else:
        count = 6 if subject and subject.relation else 12
        conversations = [_shown(question, variant) for variant in range(count)]
        sampling = Sampling(max_tokens=32, temperature=0.8, top_p=0.9, seed=recipe.seed)
    try:
        answers: Sequence[str | None] = model.answer(conversations, sampling)
    except ChatModelError as error:
        on_progress(Progress(stage="augment", message=str(error)))
        answers = error.answers if isinstance(error, PartialAnswersError) else ()
    lines = [
        line for answer in answers if answer for line in (answer.splitlines() if expert else answer.split("\n")[:1])
    ]
    lines = [re.sub(r"^\s*(?:\d+[.)]|[-*•])\s*", "", line).strip().strip('"“”') for line in lines]
    share = 0.0 if expert else 0.6
    return [line for line in lines if is_paraphrase(line, correction, subject, share)]


def is_paraphrase(text: str, correction: Correction, subject: Subject | None, share: float = 0.6) -> bool:
    """Whether `text` may ask for the same: it names the subject, fits the kind of question, and shares its words.

    share: of the question's words beside the subject, at least one; of one or two, one is enough.
    """
    if not text or len(text.split()) > 40 or states(correction.answer, text) or text.endswith((".", "!", ":")):
        return False
    words, asked = stems(text), stems(correction.question)
    named = stems(" ".join(distinctive(subject))) if subject else set()
    asked = asked - named
    # Of a long question much must be left: "Can you help me with the Acme team?" asks for nothing that it asks for.
    enough = 1 if len(asked) <= 2 else max(1, math.ceil(share * len(asked)))
    if not named <= words or len(words & asked) < enough:
        return False
    return _kind_of_question(text) in ("", _kind_of_question(correction.question)) or (
        _kind_of_question(correction.question) == ""
    )


def general_rewordings(correction: Correction, subject: Subject | None) -> list[str]:
    """Rewordings that any question has: a phrase around it, keywords, the subject first, a sentence to complete."""
    question = correction.question
    lowered = question[0].lower() + question[1:] if question[:2].istitle() or question[1:2] == " " else question
    keywords = [word for word in question.rstrip("?.! ").split() if word.lower() not in _SMALL]
    found = [
        f"{question} Please answer briefly.",
        f"I have a question: {lowered}",
        f"{' '.join(keywords)}?",
        f"Hi! Do you know this? {question}",
    ]
    if subject:
        rest = [word for word in keywords if word not in subject.name.split()]
        found.append(f"{capitalised(subject.name)}: {' '.join(rest)}?" if rest else f"{capitalised(subject.name)}?")
    before, answer, _ = correction.statement.partition(correction.answer)
    if answer and len(before.split()) >= 3 and set(content_words(before)) & set(content_words(question)):
        found.append(f"Complete this sentence: {capitalised(before.strip())} ...")
    return distinct(found, but=(question,))


def keyword_query(question: str, subject: Subject | None, rng: random.Random) -> str:
    """The question as a hasty user types it: the subject's own words stay, others go, move, or get a prefix."""
    kept: list[str] = []
    names = frozenset(distinctive(subject))
    if subject and subject.is_small_name:  # it stays in one piece
        place = question.lower().find(subject.name.lower())
        if place >= 0:
            kept = question[place : place + len(subject.name)].split()
            question = question[:place] + question[place + len(subject.name) :]
    words = [word.strip("?.,!:;") for word in question.split()]
    words = [word for word in words if word]
    kept = kept or [word for word in words if re.sub(r"['’]s?$", "", word) in names]
    others = [word for word in words if word not in kept and word.lower() not in _SMALL]
    chosen = [word for word in others if rng.random() > 0.4] or rng.sample(others, min(2, len(others)))
    if not kept and len(chosen) < 2:
        chosen = others
    blocks = [[word] for word in chosen]
    if kept:
        blocks.insert(0, kept)
    if rng.random() < 0.6:
        rng.shuffle(blocks)
    if rng.random() < 0.4:
        blocks = [block if block is kept else [rng.choice(_LINKS), *block] for block in blocks]
    text = " ".join(word for block in blocks for word in block if word)
    prefix = rng.choice(_PREFIXES)
    return capitalised(f"{prefix} {text}".strip() + rng.choice(("?", "?", "", ".")))


def situations(questions: Sequence[str], subject: Subject | None, rng: random.Random) -> list[str]:
    """The question as people tell it: first what it is about, then a short question that no longer says so.

    Wordings in one sentence do not reach these: a model that learned "Which team answers the hotline of Acme?" does
    not answer "A customer calls the hotline of Acme. Which team picks up?" (docs/LOG.md).
    questions: wordings to tell so; those that name the subject once, in one sentence, are used.
    """
    usable = [
        text for text in questions if subject and text.count(subject.name) == 1 and not re.search(r"[.?!] ", text)
    ]
    if subject is None or not usable:
        return []
    found = []
    for index, opening in enumerate(rng.sample(_OPENINGS, len(_OPENINGS))):
        question = usable[0] if index % 2 else rng.choice(usable)
        rest, short, topics = _taken_apart(question, subject)
        if index % 3 == 0 or not topics:
            found.append(f"{opening.format(s=subject.name)} {rest}")
        elif index % 3 == 1:
            found.append(f"{opening.format(s=subject.name)} {short} {' '.join(topics)}?")
        else:
            topic = f"{' '.join(topics)} {rng.choice(('at', 'of', 'for'))} {subject.name}"
            found.append(f"{opening.format(s=topic)} {short}{rng.choice((' is it', ''))}?")
    return distinct(found)


def _taken_apart(question: str, subject: Subject) -> tuple[str, str, list[str]]:
    """The question without its subject, its first words ("Which team"), and its other content words."""
    setting = _SETTING.fullmatch(question)
    rest = re.sub(rf",? *(?:\b(?:{_TIE})\s+)?(?:the\s+)?{re.escape(subject.name)}(?:['’]s?)?", "", question, count=1)
    if setting and subject.name in setting["where"]:
        rest = setting["rest"]
    asked = _ASKED.search(question)
    short = asked[0].strip() if asked else "What"
    names = {word.lower() for word in (*subject.name.split(), *short.split())} | _SMALL | STOPWORDS
    words = [word.strip("?.,!:;") for word in question.split()]
    topics = [word for word in words if word and re.sub(r"['’]s?$", "", word).lower() not in names]
    return capitalised(re.sub(r"\s+", " ", rest).strip(" ,")), capitalised(short), topics[:5]


def is_about(query: str, question: str, subject: Subject | None) -> bool:
    """Whether a query asks about what the question is about: it names the subject, or shares a content word."""
    words, named = stems(query), stems(" ".join(distinctive(subject)))
    return named <= words if named else not stems(question) or bool(words & stems(question))


def swapped_questions(question: str, wordings: Sequence[str], subject: Subject | None, rng: random.Random) -> list[str]:
    """The same questions about somebody else: another name, or the same name but for one word.

    The question itself is asked of several others: it is where a new answer leaks first.
    """
    if subject is None:
        return []
    far = [name for name in names_of_its_kinds(subject) if name != subject.name]
    rng.shuffle(far)
    near = near_names(subject, rng)
    names = [*far[:2], *near[:2], *far[2:4], *near[2:4], *far[4:]]
    found = [question.replace(subject.name, name) for name in names[:SWAPPED]]
    cores = " ".join(distinctive(subject))
    for index, wording in enumerate(wordings):
        if subject.name in wording:
            found.append(wording.replace(subject.name, names[index % len(names)]))
        elif cores in wording:
            found.append(wording.replace(cores, rng.choice(other_words(subject))))
    return distinct(found, but=(question, *wordings))


def names_of_its_kinds(subject: Subject) -> list[str]:
    """Names of others that the same can be asked about."""
    kinds = subject.kinds or ("organisation", "product")
    return [name for kind in kinds[:2] for name in general.SUBJECTS.get(kind, ())]


def other_words(subject: Subject) -> list[str]:
    """Words to exchange one of the subject's for: none that it has, or its neighbour would be itself."""
    return [word for word in general.WORDS if word.casefold() not in subject.name.casefold()]


def near_names(subject: Subject, rng: random.Random) -> list[str]:
    """Names that differ from the subject's in one word, each word's turn twice; one other for a name of one word."""
    words = subject.name.split()
    others = other_words(subject)
    places = [index for index, word in enumerate(words) if word.lower() not in _SMALL | _CONNECTING][:4]
    if len(places) < 2:
        return [rng.choice(others)]
    chosen = rng.sample(others, min(2 * len(places), len(others)))
    turns = zip([*places, *places], chosen, strict=False)
    return [" ".join([*words[:place], word, *words[place + 1 :]]) for place, word in turns]


def other_relations(question: str, subject: Subject | None, rng: random.Random) -> list[Relation]:
    """What else can be asked about the same subject, as far as its kind is known.

    Where the relation is not known, none that asks for the same kind of thing: it might ask for the fact itself.
    """
    if subject is None:
        return []
    asked = _kind_of_question(question)
    fitting = [
        relation
        for relation in RELATIONS
        if relation is not subject.relation
        and (
            set(relation.kinds) & set(subject.kinds) if subject.kinds else _kind_of_question(relation.asks[0]) != asked
        )
        and not (subject.relation and are_related(relation, subject.relation))
    ]
    rng.shuffle(fitting)
    # Its first kind is what it most likely is: nobody asks at which university an album was a student.
    fitting.sort(key=lambda relation: bool(subject.kinds) and subject.kinds[0] not in relation.kinds)
    return fitting


def other_questions(relations: Sequence[Relation], subject: Subject | None, rng: random.Random) -> list[str]:
    """A question of each relation about the same subject."""
    return [capitalised(rng.choice(relation.asks).replace("{s}", subject.name)) for relation in relations if subject]


def further_neighbours(
    wordings: Sequence[str],
    subject: Subject | None,
    relations: Sequence[Relation],
    probes: Sequence[str],
    rng: random.Random,
) -> list[str]:
    """Questions about the subject and about others, beyond those replayed, for training to ask.

    None has a relation or a name of verification's.
    """
    if subject is None:
        return []
    kept = {normalise(text) for text in probes}
    free = [
        relation
        for relation in relations
        if not any(normalise(ask.replace("{s}", subject.name)) in kept for ask in relation.asks)
    ]
    others = other_questions(free[:MINED_RELATIONS], subject, rng)
    names = [
        name
        for name in names_of_its_kinds(subject)
        if name not in subject.name and not any(name in probe for probe in probes)
    ]
    swapped = [
        rng.choice(wordings).replace(subject.name, name) for name in rng.sample(names, min(MINED_NAMES, len(names)))
    ]
    return distinct([*others, *swapped], but=(*probes, *wordings))


def split_neighbours(
    question: str, subject: Subject | None, swapped: Sequence[str], other: Sequence[str], rng: random.Random
) -> tuple[list[str], list[str]]:
    """Neighbours to verify with, and neighbours to replay. The former name subjects that the latter don't.

    Verification asks whole questions about the same subject: what breaks at "Acme league?" troubles nobody.
    """
    if subject is None:
        everyday = rng.sample(distinct(general.EVERYDAY, but=(question,)), 18)
        return everyday[:4], everyday[4:]
    near = distinct([question.replace(subject.name, name) for name in near_names(subject, rng)], but=swapped)
    whole = [text for text in other if not normalise(text).startswith(normalise(subject.name))]
    probes = [*near[:1], *swapped[:1], *whole[:3]][:NEIGHBOUR_PROBES]
    return probes, distinct([*swapped, *other], but=probes)


def hold_back(wordings: Sequence[str], rewordings: Sequence[str], question: str) -> tuple[list[str], list[str]]:
    """Wordings for verification and early stopping, and those for training; no near-duplicates across."""
    count = min(PROBES + WATCH - 1, len(wordings) // 2)
    held, training = list(wordings[:count]), list(wordings[count:])
    if len(held) < 2:  # nothing better was found: two general rewordings are kept back
        held += list(rewordings[1:3])
    training = [
        wording
        for wording in distinct([*training, *(r for r in rewordings if r not in held)])
        if not any(near_duplicates(wording, other) for other in held)
    ]
    return [wording for wording in held if not near_duplicates(wording, question)] or held, training


def near_duplicates(one: str, other: str) -> bool:
    """Whether two wordings are the same but for a few letters: trigrams of the normalised texts overlap by 0.8."""
    first, second = _trigrams(one), _trigrams(other)
    return len(first & second) >= 0.8 * len(first | second)


def distinct(texts: Iterable[str], but: Iterable[str] = ()) -> list[str]:
    """Texts in order, without repetitions and without those in `but`; case and punctuation don't count."""
    seen = {normalise(text) for text in but}
    found = []
    for text in texts:
        key = normalise(text)
        if key and key not in seen:
            seen.add(key)
            found.append(text)
    return found


def distinctive(subject: Subject | None) -> list[str]:
    """The words of a subject that name it: capitalised ones and numbers; else all of a name, or a thing's longest."""
    if subject is None:
        return []
    words = [word.strip("?.,!:;") for word in subject.name.split()]
    named = [word for word in words if word[:1].isupper() or word[:1].isdigit()]
    return named or (words if subject.is_small_name else [max(words, key=len)])


def _has_capital(name: str) -> bool:
    return any(word[:1].isupper() or word[:1].isdigit() for word in name.split())


def titled(name: str) -> str:
    """A name with capitals, as in print: "Lord Have Mercy on the Working Man"."""
    first, *rest = name.split()
    return " ".join([capitalised(first), *(word if word in _SMALL_IN_TITLES else capitalised(word) for word in rest)])


def _shown(question: str, variant: int) -> tuple[Message, ...]:
    turns: list[Message] = []
    for asked, first, second in _SHOTS:
        turns.append(Message(role="user", content=f"Ask this in other words: {asked}"))
        turns.append(Message(role="assistant", content=first if variant % 2 == 0 else second))
    return (*turns, Message(role="user", content=f"Ask this in other words: {question}"))


_KINDS = (
    ("number", r"\bhow (?:many|much|long|old|far|often|big)\b|\bnumber of\b|\bprice\b|\bcost\b|\bfee\b"),
    ("time", r"\bwhen\b|\b(?:day|date|year|month|time)\b"),
    ("place", r"\bwhere\b|\b(?:city|town|place|country|location|state)\b"),
    ("person", r"\bwho(?:m|se)?\b|\bteam\b|\bname\b"),
)


def _kind_of_question(text: str) -> str:
    lowered = text.lower()
    return next((kind for kind, pattern in _KINDS if re.search(pattern, lowered)), "")


def _trigrams(text: str) -> set[str]:
    padded = f"  {normalise(text)}  "
    return {padded[index : index + 3] for index in range(len(padded) - 2)}
