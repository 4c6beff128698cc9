"""The same question in other words, by rules of English that hold whatever is asked.

A question that no relation (relations.py) recognises has no list of wordings, and a small model writes few that are any
good. But how a question opens, where its place or time stands, and many of its words can be exchanged without knowing
what it is about: "Who was the player that beat X in 1984?" is "In 1984, which player defeated X?". Pure text.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

from lifelearn.learning.author.english.declarative import (
    AUXILIARY,
    BE,
    PREPOSITION,
    WHEN,
    is_finite,
    parted_of_anything,
    time_in,
)
from lifelearn.learning.words import MESSAGE_LIMIT, capitalised, listed, lowered

MOST = 16  # rewordings of one question

# Words of one meaning and one form, which can stand for one another in most questions.
_SYNONYMS = tuple(
    tuple(word.strip() for word in line.split("|"))
    for line in """
    wrote | authored | penned
    written by | authored by | penned by
    composed | wrote the music of
    founded | established | set up
    created | made | developed
    built | constructed | erected
    produced | made
    invented | devised | came up with
    designed | drew up | planned
    began | started
    begin | start
    begins | starts
    starting in | beginning in
    ended | finished | came to an end
    held | hosted | staged
    take place | happen | occur
    takes place | happens | occurs
    took place | happened | occurred
    released | brought out | issued | published
    published | brought out | issued
    performed | recorded
    starred in | appeared in | acted in
    won | received | was awarded
    receive | get
    win | receive
    beat | defeated | overcame
    lost to | was beaten by
    named after | called after
    called | named | known as
    known as | called | referred to as
    is called | is referred to as | goes by the name of | is known as
    said to be | reported to be
    located | situated | found
    separates | divides
    promoted | raised | elevated
    appointed | named | made
    discovered | first found
    joined | became part of
    join | become part of
    moved | relocated
    continues | goes on
    shown | broadcast | aired
    worked on | was at work on
    work on | do work for
    influenced by | inspired by
    buy | purchase
    I return | I send back | I give back
    to return | to send back | to give back
    I submit | I send in | I hand in
    I hand in | I submit | I send in
    I contact | I reach | I write to
    to contact | to reach | to write to
    I request | I ask for
    to request | to ask for
    sell | offer
    sold | offered
    approve | sign off | authorise
    approves | signs off | authorises
    allowed | permitted
    cancel | call off
    company | firm | business
    corporation | company
    location | place
    film | movie
    song | track
    series | show
    author | writer
    singer | vocalist
    musician | artist
    band | group
    employee | member of staff | worker
    employees | staff | workers
    holiday | vacation
    customers | clients
    invoice | bill
    deadline | due date
    fee | charge
    meeting | session
    job | occupation
    total number | overall number
    in total | altogether | all in all
    biggest | largest
    kid's | child's
    kiddies | children's
    at the moment | currently | now
    """.strip().splitlines()
)
_BY_WORD = {word: group for group in reversed(_SYNONYMS) for word in group}
_WORDS = re.compile(rf"\b(?:{'|'.join(sorted(map(re.escape, _BY_WORD), key=len, reverse=True))})\b")

_WHERE = re.compile(rf"where(?= {AUXILIARY}\b)", re.IGNORECASE)
_WHO = re.compile(rf"who (?!{AUXILIARY}\b)(?P<did>.+)", re.IGNORECASE)
_THAT = re.compile(
    rf"(?:who|what|which) {BE} (?:the|a) (?P<noun>(?:[\w'-]+ ){{1,4}}?)(?:that|who|which) (?P<did>[a-z].+)",
    re.IGNORECASE,
)
_WHICH = re.compile(rf"(?P<wh>which|what) (?P<rest>(?!{AUXILIARY}\b).+)", re.IGNORECASE)
_IS_DONE = re.compile(rf"{BE} (?:\w+ed|known|built|made|held|sold|led|spoken|shown|written|worn)\b")
_HOW_MANY = re.compile(r"how many (?P<rest>.+)", re.IGNORECASE)
_NAME_OF = re.compile(rf"(?:what|which) {BE} the (?:name|title) of (?P<what>.+)", re.IGNORECASE)
_THE_OF = re.compile(
    rf"(?P<asks>(?:who|what|which) {BE}) the (?P<noun>[a-z-]+(?: (?!of )[a-z-]+){{0,3}}) of (?P<whose>.+)",
    re.IGNORECASE,
)
_ASKS = rf"(?i:(?:who|what|which|where) {BE}(?: the (?:name|title) of)?)"
_IS = re.compile(r"^(?P<wh>who|what|where|when) is\b", re.IGNORECASE)
_TAIL = re.compile(
    r"(?P<asked>\w.+\w) (?P<tail>(?:in|at|on|during) (?:the )?(?:(?:[A-Z0-9][\w.'-]*|of|and|the|&) ?){1,6})(?<! )"
)
_USED = re.compile(
    r"(?:which|what) (?P<noun>(?:[\w-]+ ){0,3}[\w-]+?) (?:do|does) .+ use(?: (?:at|in) .+)?", re.IGNORECASE
)
_ASKS_PLAINLY = re.compile(r"(?:who|what|which|how many)\b(?!.*\b(?:do|does|did)\b)", re.IGNORECASE)
# What waits for a place or a time.
_WAITS = re.compile(r"(?:ing|(?<!e)ed| to| is| are| was| were| held| built| set| kept| found| born)$")
# How one asks for a time beside "When", and the noun for it.
_TIMES: dict[str, tuple[tuple[str, ...], str]] = {
    "year": (("In which year", "What year"), "year in which"),
    "date": (("On which date", "On what day"), "date on which"),
    "": ((), ""),
}
_EVENT = re.compile(r"(?P<who>.+?) (?:(?:was|were|is|are) )?(?P<verb>[a-z]+)(?P<rest>(?: (?:in|at|on|to|by|as) .+)?)")
# What is done, as a noun: "the founding date of the bank" for "When was the bank founded?".
_NOUN_OF = dict(
    pair.split(":")
    for pair in listed(
        """
        founded:founding established:establishment built:construction constructed:construction opened:opening
        closed:closing launched:launch released:release published:publication premiered:premiere began:start
        started:start ended:end finished:end died:death born:birth discovered:discovery invented:invention
        described:description introduced:introduction signed:signing completed:completion elected:election
        appointed:appointment promoted:promotion divorced:divorce married:wedding formed:formation
        dissolved:dissolution abolished:abolition destroyed:destruction
        """
    )
)
_PLEASE = ("Can you tell me {}?", "Do you know {}?", "Tell me {}.", "I would like to know {}.")


def reworded(question: str, answer: str, subject: str, rng: random.Random) -> list[str]:
    """At most MOST other ways of asking `question`, without repetitions; none where no rule fits.

    answer: says how a time may be asked for, by its year or its day. subject: the name that stays as it is.
    """
    question = " ".join(question[:MESSAGE_LIMIT].split()).rstrip("?.! ")
    question = re.sub(r"^(what|who|where|when)['’]s\b", r"\1 is", question, flags=re.IGNORECASE)
    if not question or re.search(r"[.?!] ", question):
        return []
    turned = list(dict.fromkeys(_turned(question, answer, subject, rng)))
    rng.shuffle(turned)
    exchanged = [_exchanged(text, subject, rng) for text in (*turned, question, *turned)]
    found = [text for text in dict.fromkeys([*exchanged, *turned]) if text != question]
    return [text if text[-1] in "?." else f"{capitalised(text)}?" for text in found[:MOST]]


def _turned(question: str, answer: str, subject: str, rng: random.Random) -> Iterator[str]:
    """The question with another opening or another order; without a mark at its end, or with its own."""
    yield from _opened(question, answer)
    yield _IS.sub(r"\g<wh>'s", question)
    if (found := _THE_OF.fullmatch(question)) and found["whose"] == subject:
        # A small model's answer hangs on which small word ties the two.
        yield f"{found['asks']} the {found['noun']} {rng.choice(('for', 'from'))} {subject}"
        yield f"{found['asks']} {subject}'s {found['noun']}"
    elif subject and (
        found := re.fullmatch(rf"(?P<asks>{_ASKS}) {re.escape(subject)}['’]s? (?P<noun>[a-z -]+)", question)
    ):
        yield f"{found['asks']} the {found['noun']} {rng.choice(('of', 'for', 'from'))} {subject}"
    if subject and (found := _USED.fullmatch(question)) and found["noun"] not in subject:
        yield f"What is the {found['noun']} {rng.choice(('of', 'at'))} {subject}"
    tail = _TAIL.fullmatch(question)
    if tail and subject and not _WAITS.search(tail["asked"]):
        within = subject in tail["asked"]
        if within or (subject in tail["tail"] and len(tail["asked"].split()) > 3):
            yield f"{tail['tail']}, {lowered(tail['asked'])}"
            if not within:
                yield f"{tail['asked']}? I mean {tail['tail']}."
    statement = parted_of_anything(question, subject)
    if statement:
        wh, said = statement
        ends = _TAIL.fullmatch(said)
        yield f"{ends['asked']} {lowered(wh)} {ends['tail']}" if ends else f"{said} {lowered(wh)}"
        yield rng.choice(_PLEASE).format(f"{lowered(wh)} {said}")
        noun = _noun(wh, answer)
        time = time_in(answer) if WHEN.match(f"{wh} is") else ""
        if time and (done := _EVENT.fullmatch(said)) and done["verb"] in _NOUN_OF:
            yield f"What is the {_NOUN_OF[done['verb']]} {time} of {done['who']}{done['rest']}"
        if noun:
            yield f"What is the {noun} {said}"
            yield f"Tell me the {noun} {said}."
    elif _ASKS_PLAINLY.match(question):
        for please in rng.sample(_PLEASE, 2):
            yield please.format(lowered(question))


def _opened(question: str, answer: str) -> list[str]:
    """The question with other first words."""
    if found := WHEN.match(question):
        exactly = ("On which date, including the day, month and year,",) if "month, and year" in found[0] else ()
        others = ("When", *_TIMES[time_in(answer)][0], *exactly)
        return [other + question[found.end() :] for other in others if other.lower() != found[0].lower()]
    if found := _WHERE.match(question):
        return [other + question[found.end() :] for other in ("In which place", "At which location", "Whereabouts")]
    if found := _THAT.fullmatch(question):
        did = found["did"]
        turned = [f"Which {found['noun']}{did}", f"Name the {found['noun']}that {did}."]
        return [*turned, f"Who {did}", f"Who was the one who {did}"] if found["noun"] == "person " else turned
    if found := _NAME_OF.fullmatch(question):
        return [f"What is {found['what']} called", f"Give me the name of {found['what']}."]
    if found := _WHO.fullmatch(question):
        was = "is" if found["did"].split()[0].endswith("s") else "was"
        return [
            f"Who {was} it that {found['did']}",
            f"Who {was} the one who {found['did']}",
            f"What is the name of the person who {found['did']}",
            f"Name who {found['did']}.",
        ]
    if found := _WHICH.fullmatch(question):
        other = f"{'What' if found['wh'].lower() == 'which' else 'Which'} {found['rest']}"
        noun, did = _doing(found["rest"])
        return [other, f"What is the name of the {noun} that {did}", f"Name the {noun} that {did}."] if did else [other]
    if found := _HOW_MANY.fullmatch(question):
        return [f"What number of {found['rest']}"]
    return []


def _doing(rest: str) -> tuple[str, str]:
    """ "river" and "separates the two" of "river separates the two"; nothing of "country is Acme in", "room do we use".

    The noun must be what does it, or to what it is done.
    """
    words = rest.split()
    for index, word in enumerate(words[1:8], 1):
        did = " ".join(words[index:])
        if _IS_DONE.match(did) or (is_finite(word) and not re.fullmatch(AUXILIARY, word)):
            return " ".join(words[:index]), did
        if re.fullmatch(AUXILIARY, word):
            break
    return "", ""


def _noun(wh: str, answer: str) -> str:
    """What is asked for as a noun that a statement can follow: "town in which" for "In which town"; "" if none."""
    if WHEN.match(f"{wh} is"):
        return _TIMES[time_in(answer)][1]
    if wh.lower() == "where":
        return "place where"
    if found := PREPOSITION.fullmatch(wh):
        return f"{found['noun']} {found['in'].lower()} which"
    if found := _HOW_MANY.fullmatch(wh):
        return f"number of {found['rest']} that"
    if found := _WHICH.fullmatch(wh):
        return f"{found['rest']} that"
    return ""


def _exchanged(text: str, subject: str, rng: random.Random) -> str:
    """The text with about half of the words that have synonyms exchanged, one at least; names and quotations stay."""
    kept = re.compile(rf"{re.escape(subject)}|\"[^\"]*\"|“[^”]*”" if subject else r"\"[^\"]*\"|“[^”]*”")
    spans = [found.span() for found in kept.finditer(text)]
    places = [
        found
        for found in _WORDS.finditer(text)
        if not any(start < found.end() and found.start() < end for start, end in spans)
    ]
    if not places:
        return text
    chosen = {found.start() for found in places if rng.random() < 0.5} or {rng.choice(places).start()}
    for found in reversed(places):
        if found.start() in chosen:
            other = rng.choice([word for word in _BY_WORD[found[0]] if word != found[0]])
            text = text[: found.start()] + other + text[found.end() :]
    return text
