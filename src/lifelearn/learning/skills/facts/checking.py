"""Whether records are complete, and vary: `python -m lifelearn.learning.skills.facts.checking [FILE.jsonl …]`.

Without files, the project's own are looked at, their splits too. Tells what there is of each kind, and what is wrong;
the exit status is 1 where something is.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise, takewhile
from pathlib import Path

from pydantic import ValidationError

from lifelearn.learning.skills.facts.records import SPLITS, Fact, Placed, all_facts, place_of, read, split_of, splits
from lifelearn.learning.skills.facts.turns import CONVERSATIONS, Turn, all_turns
from lifelearn.learning.words import UNSPACED, normalise

WORDINGS, NEAR, CORRECTIONS, NOT_CORRECTIONS, RIGHT, WRONG, KEPT, SURVIVED, DAMAGED = 6, 8, 4, 5, 6, 8, 3, 3, 4  # least
ONE_WORD = 3  # near questions that differ from the fact's in a single word
FORMS, FAULTS, LOOKALIKES = 4, 6, 3  # kinds that a record has of each, at least
SAME_FRAME = 5  # records that may share a text with its slots blanked, at most
LEAST_FRAME = 4  # words; shorter ones ("that is wrong") belong to everybody
ALIKE = 0.8  # of the runs of three words that two texts have, shared: near-duplicates
LEAST_SAID = 6  # words; "I don't think so" is said in any chat
LONG = 400  # characters of a turn, about 80 words
RUN = 4
COMMON = 40  # texts that hold a run of three words; what is commoner tells nothing apart


def faults_of(fact: Fact) -> Iterator[str]:
    """What is wrong with one record by itself."""
    for name, least in (
        ("wordings", WORDINGS), ("near", NEAR), ("corrections", CORRECTIONS), ("not_corrections", NOT_CORRECTIONS),
        ("right", RIGHT), ("wrong_replies", WRONG), ("kept", KEPT),
    ):  # fmt: skip
        if len(getattr(fact, name)) < least:
            yield f"fewer than {least} {name}"
    if any(len(each.kept) < SURVIVED or len(each.damaged) < DAMAGED for each in fact.kept):
        yield f"in kept, fewer than {SURVIVED} kept or {DAMAGED} damaged"
    if sum(one_word_apart(fact.question, each.question) for each in fact.near) < ONE_WORD:
        yield f"fewer than {ONE_WORD} near questions that differ in a single word"
    if any(normalise(each.answer) == normalise(fact.answer) for each in fact.near):
        yield "a near question has the fact's answer"
    for name, kinds, wanted in (
        ("right", {each.form for each in fact.right}, FORMS),
        ("wrong_replies", {each.kind for each in fact.wrong_replies}, FAULTS),
        ("not_corrections", {each.kind for each in fact.not_corrections}, LOOKALIKES),
    ):
        if len(kinds) < wanted:
            yield f"fewer than {wanted} kinds of {name}"
    replies = [each.reply for each in fact.right] + [each.reply for each in fact.wrong_replies]
    if len(set(replies)) < len(replies):
        yield "a reply twice"
    asked = [fact.question, *fact.wordings, *(each.question for each in fact.near)]
    if len(set(asked)) < len(asked):
        yield "a question twice"


def one_word_apart(one: str, other: str) -> bool:
    """Whether two questions are the same but for one word: another, or one more.

    In scripts without spaces a word is a run of up to `RUN` characters.
    """
    if re.search(f"[{UNSPACED}]", one):
        start = _shared(one, other)
        end = _shared(one[start:][::-1], other[start:][::-1])
        return one != other and max(len(one), len(other)) - start - end <= RUN
    first, second = words(one), words(other)
    if len(first) == len(second):
        return sum(a != b for a, b in zip(first, second, strict=True)) == 1
    short, long = sorted((first, second), key=len)
    return len(long) == len(short) + 1 and any(long[:i] + long[i + 1 :] == short for i in range(len(long)))


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def words(text: str) -> list[str]:
    return normalise(text).split()


def frame(fact: Fact, text: str) -> str:
    """A text with its slots blanked: numbers, capitalised words within it, words of the right and the wrong answer."""
    slots = {*words(fact.answer), *words(fact.wrong)}
    kept = []
    for place, word in enumerate(re.findall(r"\w+", text)):
        blank = any(letter.isdigit() for letter in word) or word.lower() in slots or (place and word[0].isupper())
        if not blank:
            kept.append(word.lower())
        elif kept[-1:] != ["_"]:
            kept.append("_")
    return " ".join(kept)


def shared_frames(facts: Sequence[Fact]) -> dict[str, list[str]]:
    """Frames of corrections and of look-alikes that too many records share, with their records."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for fact in facts:
        said = (each.user for each in (*fact.corrections, *fact.not_corrections))
        for each in {frame(fact, text) for text in said}:
            if len(each.replace("_", "").split()) >= LEAST_FRAME:
                found[each].append(fact.id)
    return {each: ids for each, ids in found.items() if len(ids) > SAME_FRAME}


def duplicates(facts: Sequence[Fact]) -> list[tuple[str, str, str]]:
    """Longer texts of two records that are nearly the same: their records, and one of the texts."""
    texts: list[tuple[str, str, frozenset[tuple[str, str, str]]]] = []
    holding: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for fact in facts:
        for text in {*fact.by_people()}:
            said = words(text)
            runs = frozenset(zip(said, said[1:], said[2:], strict=False))
            if len(said) >= 2 * LEAST_FRAME:
                for run in runs:
                    holding[run].append(len(texts))
                texts.append((fact.id, text, runs))
    found = set()
    for number, (id_, text, runs) in enumerate(texts):
        shared = Counter(
            chain.from_iterable(
                (other for other in holding[run] if other < number and texts[other][0] != id_)
                for run in runs
                if len(holding[run]) <= COMMON
            )
        )
        for other, count in shared.items():
            if count >= ALIKE * len(runs | texts[other][2]):
                found.add((texts[other][0], id_, text))
    return sorted(found)


def in_two_splits(facts: Sequence[Fact], turns: Sequence[Turn] = ()) -> list[str]:
    """Texts of some length that two splits have, word for word."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    said = ((text, split_of(fact)) for fact in facts for text in fact.by_people())
    for text, split in chain(said, ((turn.said, split_of(turn)) for turn in turns)):
        if len(words(text)) >= LEAST_SAID:
            found[normalise(text)].add(split)
    return sorted(text for text, its in found.items() if len(its) > 1)


def faults_of_turns(turns: Sequence[Turn]) -> Iterator[str]:
    """What is wrong with turns, each on a line."""
    for turn in turns:
        roles = [message.role for message in turn.messages]
        if roles[-2:] != ["assistant", "user"] or any(a == b for a, b in pairwise(roles)):
            yield f"{turn.id}: must be user and assistant in turns, and end with them"
        if not all(message.content.strip() for message in turn.messages):
            yield f"{turn.id}: an empty message"
    for id_, times in Counter(turn.id for turn in turns).items():
        if times > 1:
            yield f"{id_}: {times} turns have this id"
    ordinary = [turn for turn in turns if not turn.domain.startswith(CONVERSATIONS)]
    for text, times in Counter(normalise(turn.said) for turn in ordinary).items():
        if times > 1 and len(words(text)) >= LEAST_FRAME:
            yield f"{times} turns say “{text}”"
    for start, times in Counter(" ".join(words(turn.said)[:LEAST_FRAME]) for turn in ordinary).items():
        if times > SAME_FRAME and len(words(start)) == LEAST_FRAME:
            yield f"{times} turns begin with “{start}”"


def problems(facts: Sequence[Fact]) -> Iterator[str]:
    """What is wrong, each on a line."""
    for fact in facts:
        for fault in faults_of(fact):
            yield f"{fact.id}: {fault}"
    for name, values in (("id", [fact.id for fact in facts]), ("question", [fact.question for fact in facts])):
        for value, times in Counter(values).items():
            if times > 1:
                yield f"{value}: {times} records have this {name}"
    for text, ids in shared_frames(facts).items():
        yield f"{len(ids)} records say “{text}”: {', '.join(ids)}"
    for one, other, text in duplicates(facts):
        yield f"{one} and {other} say nearly the same: “{text}”"


def counts(facts: Sequence[Fact]) -> Iterator[str]:
    """How many there are of each kind, each on a line."""
    tallies: dict[str, Counter[str]] = {
        "language": Counter(fact.lang for fact in facts),
        "kind of fact": Counter(fact.kind for fact in facts),
        "right": Counter(each.form for fact in facts for each in fact.right),
        "wrong": Counter(each.kind for fact in facts for each in fact.wrong_replies),
        "kept": Counter(reply.form for fact in facts for each in fact.kept for reply in each.kept),
        "damaged": Counter(reply.kind for fact in facts for each in fact.kept for reply in each.damaged),
        "no correction": Counter(each.kind for fact in facts for each in fact.not_corrections),
    }
    for name, tally in tallies.items():
        yield f"{name}: {', '.join(f'{kind} {count}' for kind, count in tally.most_common())}"


def counts_of_turns(turns: Sequence[Turn]) -> Iterator[str]:
    long = sum(len(turn.said) >= LONG for turn in turns)
    yield f"{len(turns)} turns, {long} of {LONG} characters and more, {sum(t.is_correction for t in turns)} corrections"
    for name, tally in (("language", Counter(t.lang for t in turns)), ("kind of turn", Counter(t.kind for t in turns))):
        yield f"{name}: {', '.join(f'{kind} {count}' for kind, count in tally.most_common())}"


def main() -> int:
    try:
        facts = tuple(read((Path(name) for name in sys.argv[1:]), Fact)) or all_facts()
    except (ValidationError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    told, wrong = [f"{len(facts)} records", *counts(facts)], list(problems(facts))
    if not sys.argv[1:]:
        turns = all_turns()
        placed: list[Placed] = [*facts, *turns]
        unknown = {place_of(each) for each in placed} - set(splits())
        wrong += [f"{place}: in no split of splits.json" for place in sorted(unknown)]
        wrong += faults_of_turns(turns)
        told += counts_of_turns(turns)
        if not unknown:
            wrong += [f"in two splits: “{text}”" for text in in_two_splits(facts, turns)]
            shares = Counter(split_of(fact) for fact in facts)
            told.insert(1, f"split: {', '.join(f'{split} {shares[split]}' for split in SPLITS)}")
    sys.stdout.write("\n".join([*told, ""]))
    sys.stderr.write("\n".join([*wrong, ""]) if wrong else "Nothing is wrong.\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
