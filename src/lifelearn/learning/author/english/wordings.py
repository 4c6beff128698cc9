"""The same question in other words, for training to learn from and for verification to ask.

Wrapping a question in phrases does not generalise (docs/LOG.md); really different wordings do. They come from five
sources: the relation's other wordings (relations.py), questions written by a model, rules of English (rewording.py),
phrases around the question, and keyword queries, in which words of the question are dropped, reordered and prefixed at
random.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence

from lifelearn.learning.author.english.declarative import AUXILIARY, is_finite
from lifelearn.learning.author.english.question import (
    SET,
    SMALL,
    TIES,
    Question,
    Subject,
    distinctive,
    kind_of_question,
    taken_apart,
    titled,
)
from lifelearn.learning.chat_model import ChatModel, ChatModelError, PartialAnswersError, Sampling
from lifelearn.learning.examiner.marking import stated
from lifelearn.learning.recipe import Recipe
from lifelearn.learning.types import Conversation, Correction, Message, OnProgress, Progress, no_progress
from lifelearn.learning.words import STOPWORDS, capitalised, content_words, distinct, stems, unlike

PROBES = 4  # wordings held back for verification, at most
WATCH = 3  # wordings by which training stops, at most

_PREFIXES = ("", "", "Who", "Which", "What is", "What", "Tell me", "I need to know", "When", "How", "Where",
             "Do you know", "Please tell me about", "Can you say")  # fmt: skip
_LINKS = ("the", "our", "of", "for", "in", "")
_OPENINGS = (
    "I have a question about {s}.", "I am calling about {s}.", "A customer asks about {s}.", "I need help with {s}.",
    "I was reading about {s}.", "My colleague mentioned {s}.", "We are talking about {s}.", "This is about {s}.",
    "I will soon have to do with {s}.", "Somebody asked me about {s} today.", "I am new here and it is about {s}.",
    "I want to know something about {s}.",
)  # fmt: skip
# What asks politely says nothing of what is asked.
_POLITE = frozenset(("tell", "me", "you", "know", "say", "can", "could", "would", "like", "please", "that", "i", "mean",
                     "it"))  # fmt: skip
_WHAT_IT_IS = re.compile(r"(\bthe (?:album|book|film|movie|song)) \{s\}")
# "expense reports", "the log files at Acme": they are, where others is.
_PLURAL = re.compile(rf"[a-z -]+[^su]s(?= (?:{TIES}) |$)")
_ARE = {"is": "are", "Is": "Are", "was": "were", "does": "do", "has": "have"}
_IS = re.compile(r"\b(?:[Ii]s|was|does|has)(?= \{s\})|(?<=\{s\} )(?:is|was|does|has)\b")
_PREPOSITION = "at|of|in|for|by|from|with|on|to"
_TIE = f"{_PREPOSITION}|does|do|did|is|was|are"
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


def relation_wordings(question: str, subject: Subject | None) -> list[str]:
    """The other wordings of a recognised relation."""
    if subject is None or subject.relation is None:
        return []
    names = (subject.name, subject.short)
    own = taken_apart(subject.name)[1]
    quoted = f'"{titled(own)}"' if subject.is_small_name else own
    asks = subject.relation.asks
    if _PLURAL.match(subject.name) and not subject.is_small_name:
        asks = tuple(_IS.sub(lambda found: _ARE.get(found[0], found[0]), ask) for ask in asks)
    return [
        # "the song {s}" says what it is, so that the name need not.
        capitalised(_WHAT_IT_IS.sub(lambda found: f"{found[1]} {quoted}", ask).replace("{s}", names[index % 2]))
        for index, ask in enumerate(asks)
    ]


def as_in_print(texts: Sequence[str], subject: Subject | None) -> list[str]:
    """The texts, every other one with capitals where the question's names have none: as others write them.

    Who types "who wrote hey jude" is asked by others who wrote "Hey Jude". Where it isn't known which words are a
    name, all but the small ones get a capital.
    """
    if subject is None:
        return [titled(text) if index % 4 == 3 else text for index, text in enumerate(texts)]
    if not subject.is_small_name:
        return list(texts)
    what, own = taken_apart(subject.name)
    is_title = "work" in subject.kinds and subject.relation is not None and subject.relation.name != "actor"
    named = f'{what}"{titled(own)}"' if is_title else titled(subject.name)
    return [text.replace(subject.name, named) if index % 2 else text for index, text in enumerate(texts)]


def written_wordings(
    correction: Correction,
    question: Question,
    model: ChatModel,
    recipe: Recipe,
    *,
    expert: bool,
    on_progress: OnProgress = no_progress,
) -> list[str]:
    """Paraphrases written by a model: those that keep the subject, share a word with the question and don't answer."""
    if expert:
        asked = (
            f"Write {recipe.training_prompts} different ways in which people would ask this, one a line, nothing else. "
            f"Vary wording and sentence form; keep all names; never mention the answer.\n\nQuestion: {question.text}\n"
            f"(Its answer, not to be mentioned: {correction.answer})"
        )
        conversations: list[Conversation] = [(Message(role="user", content=asked),)]
        sampling = Sampling(max_tokens=600, temperature=0.7, seed=recipe.seed)
    else:
        count = 6 if question.subject and question.subject.relation else 12
        conversations = [_shown(question.text, variant) for variant in range(count)]
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
    return [line for line in lines if is_paraphrase(line, correction, question, share)]


def _shown(question: str, variant: int) -> tuple[Message, ...]:
    turns: list[Message] = []
    for asked, first, second in _SHOTS:
        turns.append(Message(role="user", content=f"Ask this in other words: {asked}"))
        turns.append(Message(role="assistant", content=first if variant % 2 == 0 else second))
    return (*turns, Message(role="user", content=f"Ask this in other words: {question}"))


def is_paraphrase(text: str, correction: Correction, question: Question, share: float = 0.6) -> bool:
    """Whether `text` may ask for the same: it names the subject, fits the kind of question, and shares its words.

    share: of the question's words beside the subject, at least one; of one or two, one is enough.
    """
    if not text or len(text.split()) > 40 or stated(correction.answer, text) or text.endswith((".", "!", ":")):
        return False
    words, asked = stems(text), stems(question.text)
    named = stems(" ".join(distinctive(question.subject)))
    asked = asked - named
    # Of a long question much must be left: "Can you help me with the Acme team?" asks for nothing that it asks for.
    enough = 1 if len(asked) <= 2 else max(1, math.ceil(share * len(asked)))
    if not named <= words or len(words & asked) < enough:
        return False
    return kind_of_question(text) in ("", question.kind) or question.kind == ""


def general_rewordings(correction: Correction, subject: Subject | None) -> list[str]:
    """Rewordings that any question has: a phrase around it, keywords, the subject first, a sentence to complete."""
    question = correction.question
    lowered = question[0].lower() + question[1:] if question[:2].istitle() or question[1:2] == " " else question
    keywords = [word for word in question.rstrip("?.! ").split() if word.lower() not in SMALL]
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
    words = _bare_words(question)
    kept = kept or [word for word in words if re.sub(r"['’]s?$", "", word) in names]
    others = [
        word for word in words if word not in kept and re.sub(r"['’](?:s|re)$", "", word.lower()) not in SMALL | _POLITE
    ]
    # Where no name is known, neighbouring words stay together: one of them may be "new york".
    parts = [[word] for word in others] if kept else _runs(others, rng)
    blocks = [part for part in parts if rng.random() > 0.4] or rng.sample(parts, min(2, len(parts)))
    if kept:
        blocks.insert(0, kept)
    elif len(blocks) < 2:
        blocks = parts
    if rng.random() < 0.6:
        rng.shuffle(blocks)
    if rng.random() < 0.4:
        blocks = [block if block is kept else [rng.choice(_LINKS), *block] for block in blocks]
    text = " ".join(word for block in blocks for word in block if word)
    prefix = rng.choice(_PREFIXES)
    return capitalised(f"{prefix} {text}".strip() + rng.choice(("?", "?", "", ".")))


def _runs(words: Sequence[str], rng: random.Random) -> list[list[str]]:
    """The words in their order, cut at random into runs of one to three."""
    runs, start = [], 0
    while start < len(words):
        length = rng.randint(1, 3)
        runs.append(list(words[start : start + length]))
        start += length
    return runs


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
    setting = SET.fullmatch(question)
    rest = _unnamed(question, subject)
    if setting and subject.name in setting["where"]:
        rest = setting["rest"]
    asked = _ASKED.search(question)
    short = asked[0].strip() if asked else "What"
    names = {word.lower() for word in (*subject.name.split(), *short.split())} | SMALL | STOPWORDS | _POLITE
    topics = [word for word in _bare_words(question) if re.sub(r"['’]s?$", "", word).lower() not in names]
    return capitalised(re.sub(r"\s+", " ", rest).strip(" ,:")), capitalised(short), topics[:5]


def _bare_words(text: str) -> list[str]:
    """Its words without marks at their ends; no mark alone."""
    return [bare for word in text.split() if any(map(str.isalnum, bare := word.strip("?.,!:;")))]


def _unnamed(question: str, subject: Subject) -> str:
    """The question without its subject, or with "it" where a sentence needs that: "Which carrier does it use?"."""
    before, named, after = re.split(rf"((?:\b[Tt]he )?{re.escape(subject.name)}(?:['’]s?(?= ))?)", question, maxsplit=1)
    it = "this person" if subject.kinds[:1] == ("person",) else "it"
    last, following = (before.split() or [""])[-1], re.match(r" ([a-z]\w*)", after)
    does = following is not None and (re.fullmatch(AUXILIARY, following[1]) or is_finite(following[1]))
    ends = not following or does or re.fullmatch(rf"{_TIE}|and", following[1])
    if named.endswith(("'", "’", "'s", "’s")):
        its = "its" if it == "it" else f"{it}'s"
        return f"{before}{its}{after}"
    if ends and re.fullmatch(_PREPOSITION, last):
        return f"{before.removesuffix(f'{last} ').rstrip(' ,')}{after}"
    if not ends and re.match(r"the ", named, re.IGNORECASE):  # "the Larkspur library"
        return f"{before}{named[:3]}{after}"
    if does if not last else last in ("that", "where") or re.fullmatch(AUXILIARY, last) or is_finite(last):
        return f"{before}{it}{after}"
    return f"{re.sub(r'a $', 'an ', before) if re.match(' [aeiou]', after) else before}{after}".replace("  ", " ")


def is_about(query: str, question: Question) -> bool:
    """Whether a query asks about what the question is about: it names the subject, or shares a content word."""
    words, named, asked = stems(query), stems(" ".join(distinctive(question.subject))), stems(question.text)
    return named <= words if named else not asked or bool(words & asked)


def hold_back(wordings: Sequence[str], rewordings: Sequence[str], question: str) -> tuple[list[str], list[str]]:
    """Wordings for verification and early stopping, and those for training; no near-duplicates across."""
    count = min(PROBES + WATCH - 1, len(wordings) // 2)
    held, training = list(wordings[:count]), list(wordings[count:])
    if len(held) < 2:  # nothing better was found: two general rewordings are kept back
        held += list(rewordings[1:3])
    training = unlike(distinct([*training, *(r for r in rewordings if r not in held)]), held)
    return unlike(held, (question,)) or held, training
