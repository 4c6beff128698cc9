"""The short answer in the user's own words: the span of a correction that says what is right."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lifelearn.learning.author.english.declarative import is_finite
from lifelearn.learning.author.english.reading.contrast import contrast_in
from lifelearn.learning.author.english.reading.phrases import pattern
from lifelearn.learning.author.english.reading.sentences import sentences
from lifelearn.learning.author.english.reading.spans import (
    LONGEST,
    Asked,
    features,
    fitted,
    is_small,
    score,
    spans_of,
    trimmed,
)
from lifelearn.learning.examiner.marking import NUMBER_WORDS, stated
from lifelearn.learning.words import STOPWORDS, clean, content_words, normalise, stems

MOST = 20  # spans of a rule that count
LONGEST_NAME = 5  # words; a longer span is a clause, in which the question's words may be repeated

_YES_NO = pattern(r"\W*(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am|may|must)\b")
_HOW_TO = pattern(
    r"\bhow\s+(?:do|does|can|should|to|must|would|is)\b|\b(?:steps?|procedure|process|in\s+wh(?:ich|at)\s+order)\b"
)
_STEPS = pattern(r"\b(?:first|then|after(?:wards)?|before|finally|next|until|once)\b")
_NEGATED = pattern(r"\b(?:not|never|no|cannot|nothing|none)\b|n't\b")
_ONLY_AUXILIARY = pattern(r"\W*(?:yes\s+)?\w+\s+(?:is|are|was|were|do|does|did|can|has|have|will)(?:\s+not|n't)?\W*$")

# Where the answer stands, whatever is asked. The values end at a clause's end or at a reason.
_VALUE = r"(?P<value>[^,;!?\n]+?)(?=[,;!?\n]|\.(?:\s|$)|\s+(?:as|because|since|so|but|which)\s|$)"
_DEFINES = pattern(
    rf"\b(?:stands?\s+for|is\s+short\s+for|(?<!no\s)means?|(?:is|are)\s+called|is\s+named|is\s+spelled|refers?\s+to)\s+{_VALUE}"
)
_YOU_MEAN = pattern(rf"^\W*(?:i\s+think\s+)?(?:you\s+)?(?:must\s+|probably\s+)?mean\s+{_VALUE}")
_CLEFT = pattern(r"^\W*(?:it|that)(?:'s|\s+is|\s+was)\s+(?P<value>[^,.;!?]{1,80}?)\s+(?:that|who|which|where)\s+\w")
_QUOTED = pattern(r"(?:\b(?:is|are|be|just|say|called)|'s)\s+[\"'](?P<value>[^\"']{1,60})[\"']")
_IT_IS = pattern(
    rf"""(?:^|[,;.]\s+(?:and\s+)?)\W*(?:i\s+think\s+)?(?:it|that|this|they|he|she|its|the\s+(?:\w+\s+)?(?:answer|one))
        (?:'s|\s+is|\s+was|\s+are|'re)\s+(?!not\b){_VALUE}"""
)
_COPULA = pattern(
    rf"(?:\b(?:is|are|was|were|be|been|costs?|gets?|equals|takes?|use[sd]?|called|named)|'s|'re|=)\s+{_VALUE}"
)
_PREPOSITION = pattern(rf"\b(?:by|to|in|at|on|through|with|via|have|has)\s+{_VALUE}")

_UNITS = r"""days?|weeks?|months?|years?|hours?|minutes?|seconds?|euros?|dollars?|pounds?|cents?|percent|per\s+cent|%|
    am|pm|km/h|mph|km|kg|cm|mm|m|g|metres?|meters?|kilomet(?:re|er)s?|miles?|feet|degrees?|people|employees|times|pages?|
    points?|floors?|gb|mb|tb|squared?|litres?|liters?|million|billion|thousand|working"""
_COUNT = r"(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:-\w+)?|" + "|".join(
    word for word in NUMBER_WORDS if word not in ("zero", "one", "twenty")
)
_NUMBER = pattern(rf"(?<![\w.])[$€£]?\s?(?:\d+(?:[.,:/]\d+)*|\b(?:{_COUNT})\b)(?!\w)(?:\s?(?:{_UNITS})(?!\w)){{0,2}}")

_MONTH = r"""(?:january|february|march|april|may|june|july|august|september|october|november|december|
    (?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.?)"""
_DAY_OF_MONTH = r"\d{1,2}(?:st|nd|rd|th)?"
_TIMES = {
    "day": pattern(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b"),
    "clock": pattern(
        r"""\b(?:\d{1,2}(?::\d{2})?\s?(?:am|pm|a\.m\.|p\.m\.)|\d{1,2}:\d{2}|noon|midnight|half\s+past\s+\w+|
            \d{1,2}\s+o'clock)(?!\w)"""
    ),
    "date": pattern(
        rf"""\b(?:{_DAY_OF_MONTH}\s+(?:of\s+)?{_MONTH}(?:,?\s+\d{{4}})?|{_MONTH}(?:\s+{_DAY_OF_MONTH})?(?:,?\s+\d{{4}})?|
            \d{{4}}-\d{{2}}-\d{{2}}|(?:1\d|20)\d{{2}}|q[1-4])\b"""
    ),
}
_ASKS_NUMBER = pattern(
    r"""\bhow\s+(?:many|much|old|long|far|tall|high|deep|big|large|often|heavy|fast)\b
      | \b(?:price|number|cost|percentage|amount|port)\b"""
)
_ASKS_WHEN = pattern(
    r"\bwhen\b|\b(?:what|which)\s+(?:\w+\s+){0,3}(?:day|date|year|month|time|weekday|quarter)\b|\bdate\b|\bmonth,?\s+and\s+year\b"
)
_ASKS_WHERE = pattern(r"\bwhere\b|\b(?:place|location|city|town|venue|headquarters|birthplace)\b")
_ASKS_NAME = pattern(r"\b(?:who|whose|whom|where|which|what)\b|^\W*(?:name|tell|give)\b")
_CAPITAL = r"(?:[^\W\d_a-z][\w'&-]*)"
_NAMED = re.compile(
    rf"{_CAPITAL}(?:\s+(?:(?:of|de|von|van|the|and|da|del|la|le|do|dos|di|du|des|der|y)\s+){{0,2}}{_CAPITAL}|\s+\d+\b)*"
)
# What belongs to a name after a comma: "Arthur Wellesley, 1st Duke of Wellington", "Sammy Davis, Jr."
_TITLE = (
    r"(?:\d+(?:st|nd|rd|th) )?(?:Duke|Duchess|Earl|Count|Countess|Baron|Baroness|Baronet|Viscount|Marquess|Marquis"
    r"|Prince|Princess|Lord|Lady|King|Queen|Bishop|Archbishop|Jr|Sr|Inc|Ltd|LLC|PLC|PhD|MD)\b"
)
_TITLED = re.compile(rf"{_NAMED.pattern}(?:, {_TITLE}(?: of {_NAMED.pattern})?)?")
_PLACE = re.compile(rf"{_NAMED.pattern}(?:, (?:{_NAMED.pattern})){{1,2}}(?=[.!\s]*$)")  # "Lyon, France" at the end


def extract_answer(question: str, wrong: str, statement: str) -> str:
    """The shortest span of the statement that says what is right; the statement itself where only the whole does.

    Steps and denials stay whole. Of anything else the spans are weighed (spans.py), for which what the rules would take
    counts most: "X, not Y" is about X, "stands for X" names it, and the question's kind says whether a number, a time
    or a name is wanted.
    """
    statement = clean(statement)
    if (kept := whole(question, statement)) is not None:
        return kept
    shown = weighable(question, wrong, statement)
    return max(shown, key=lambda each: score(each[1], fitted()))[0]


def whole(question: str, statement: str) -> str | None:
    """Steps, or a denial, of which no span would say the same; None where a span is to be found."""
    if _keeps_whole(question, statement):
        ordered = _STEPS.search(statement) and _HOW_TO.search(question)
        return _steps(statement) if ordered else _trim(statement, words=False)
    right, _ = _right_part(statement)
    return _trim(right, words=False) if _NEGATED.search(right) and not _DEFINES.search(right) else None


def weighable(question: str, wrong: str, statement: str) -> list[tuple[str, list[str]]]:
    """The spans that may say what is right, at least one, in the order of the statement, and what each shows."""
    right, denied = _right_part(statement)
    readings = {
        name: list(dict.fromkeys(map(_trim, spans)))[:MOST]
        for name, spans in _readings(question, wrong, right, denied).items()
    }
    surest = (
        _surest(readings, question, wrong) or _new_part(right, stems(question)) or _trim(right, words=False) or right
    )
    rules = {name: list(map(normalise, spans)) for name, spans in {**readings, "all": [surest]}.items()}
    asked = Asked(question, wrong)
    new = stems(statement) - asked.stems - asked.said
    kept, gone = normalise(right), normalise(denied)
    found = [span for span in spans_of(statement, surest) if span.normal not in gone or span.normal in kept]
    if not found:
        return [(surest or statement, [])]
    return [(span.text, features(span, asked, rules, new)) for span in found]


def _surest(readings: Mapping[str, Sequence[str]], question: str, wrong: str) -> str:
    """What the surest rule takes that takes anything new; "" if none does."""
    asked = stems(question)
    known: list[str] = []  # spans of the question's own words: a problem told at length has the numbers of its answer
    for spans in readings.values():
        known += [span for span in spans if span and not stated(span, wrong)]
        candidates = [_new_part(span, asked) if len(span.split()) > LONGEST_NAME else span for span in spans]
        for candidate in candidates:
            if candidate and len(candidate.split()) <= LONGEST and _is_new(candidate, asked):
                return candidate
    return next(iter(known), "")


def _new_part(right: str, asked: set[str]) -> str:
    """What is left when the question's own words are taken from both ends: "run the tests" of "At Acme we run the
    tests before we deploy"."""
    words = _trim(right, words=False).split()
    old = [stems(word) <= asked for word in words]
    if all(old):
        return ""
    first, last = old.index(False), len(old) - old[::-1].index(False)
    return _trim(" ".join(words[first:last]), words=False)


def _keeps_whole(question: str, statement: str) -> bool:
    """Steps, plain denials and answers to yes/no questions lose their meaning when a span is cut out."""
    if len(_STEPS.findall(statement)) >= 2 or (_HOW_TO.search(question) and _STEPS.search(statement)):
        return True
    if any(contrast_in(sentence) for sentence, _ in sentences(statement)):
        return False
    if _DEFINES.search(statement):
        return False
    return bool(_NEGATED.search(statement) or _YES_NO.match(question) or _ONLY_AUXILIARY.match(statement))


def _steps(statement: str) -> str:
    """The sentences that give the order, if there are such besides others."""
    told = [sentence for sentence, _ in sentences(statement)]
    ordered = [sentence for sentence in told if len(_STEPS.findall(sentence)) >= 2]
    return _trim(" ".join(ordered or told), words=False)


def _right_part(statement: str) -> tuple[str, str]:
    """The statement without what it denies, and what it denies."""
    told = [sentence for sentence, _ in sentences(statement)]
    contrasts = [contrast for contrast in map(contrast_in, told) if contrast]
    if not contrasts:
        return " ".join(told), ""
    return " ".join(contrast.right for contrast in contrasts), " ".join(contrast.wrong for contrast in contrasts)


def _readings(question: str, wrong: str, right: str, denied: str) -> dict[str, list[str]]:
    """Spans of the right part by the rule that takes them, the surest rule first."""

    def values(pattern: re.Pattern[str]) -> list[str]:
        return [found["value"] for found in pattern.finditer(right)]

    numbers = [found[0] for found in _NUMBER.finditer(right)]
    bare = re.sub(r"\b(?:It|That|This|He|She)'s ", "", right)  # "It's Jonas Marr": a name without its first word
    names = [name for name in _TITLED.findall(bare) if _is_name(name, bare)]
    result = [_after_last_equals(right)] if "=" in right else []
    it_is = values(_IT_IS)[:1]
    is_terse = len(content_words(right)) <= 3 and not re.search(r"\b(?:is|are|was|were)\b|'s\b", right, re.I)
    patterns = {"defines": _DEFINES, "you mean": _YOU_MEAN, "cleft": _CLEFT, "quoted": _QUOTED}
    found = {name: values(pattern)[:1] for name, pattern in patterns.items()}
    if _ASKS_WHERE.search(question):
        found["place"] = [place[0] for place in _PLACE.finditer(right)]
    if _ASKS_WHEN.search(question):
        found |= {f"time {index}": times for index, times in enumerate(_times(question, denied or wrong, right))}
    if _ASKS_NUMBER.search(question):
        found |= {"counted": _counted(right, question)[-1:], "asked number": result or numbers}
    if result:
        found["result"] = result
    elif is_terse:
        found["terse"] = [_doer(right, question)]
    elif it_is and not _NAMED.search(it_is[0]):
        found["it is, without a name"] = it_is
    if _ASKS_NAME.search(question):
        found["asked name"] = names
    if re.search(r"\d", denied or wrong):
        found["number like the wrong one"] = numbers
    last = {"it is": it_is, "copula": values(_COPULA), "preposition": values(_PREPOSITION)}
    return found | last | {"name": names, "number": numbers}


def _doer(right: str, question: str) -> str:
    """ "the board" of "the board signs them" where it was asked who signs."""
    if not re.match(r"(?:who|which)\b", question, re.I):
        return right
    words, asked = right.split(), stems(question)
    does = (place for place, word in enumerate(words) if place and is_finite(word) and stems(word) & asked)
    return " ".join(words[: next(does, len(words))])


def _times(question: str, instead_of: str, right: str) -> list[list[str]]:
    """Days, dates and clock times: of the kind that is asked for or that was wrong, else in this order."""
    found = {kind: [time[0] for time in pattern.finditer(right)] for kind, pattern in _TIMES.items()}
    if re.search(r"\bwhat\s+time\b", question, re.I):
        return [found["clock"], found["date"]]
    if re.search(r"\b(?:what|which)\s+(?:week)?day\b", question, re.I):
        return [found["day"], found["date"]]
    replaced = [kind for kind, pattern in _TIMES.items() if pattern.search(instead_of)]
    return [found[kind] for kind in (*replaced, "day", "date", "clock")]


def _counted(text: str, question: str) -> list[str]:
    """Numbers with what was counted: "25 days" where the question was "how many days"."""
    asked = re.search(r"\bhow\s+(?:many|much)\s+(?P<unit>[a-z]+)", question, re.I)
    if not asked or asked["unit"].casefold() in STOPWORDS:
        return []
    unit = re.escape(re.sub(r"(?:es|s)$", "", asked["unit"], flags=re.I))
    number = rf"(?<![\w.])(?:\d+(?:[.,]\d+)*|\b(?:one|{_COUNT})\b)"
    return [found[0] for found in re.finditer(rf"{number}\s(?:\w+\s)?{unit}\w*", text, re.I)]


def _after_last_equals(text: str) -> str:
    return re.split(r"[.\n](?!\d)", text.rsplit("=", 1)[-1], maxsplit=1)[0]


def _is_name(name: str, text: str) -> bool:
    """A capital at the start of a sentence is no sign of a name, unless the word stands alone or carries others."""
    words = name.split()
    if words[0].casefold() in STOPWORDS:
        return False
    at = text.find(name)
    starts = at == 0 or text[max(0, at - 2) : at].strip() in (".", "!", "?", ":")
    return not starts or len(words) > 1 or name.isupper() or len(text.split()) <= 3


def _is_new(span: str, asked: set[str]) -> bool:
    """Whether it says something that the question does not."""
    found = stems(span)
    return bool(found - asked) if found else bool(normalise(span)) and normalise(span) not in asked


def _trim(span: str, *, words: bool = True) -> str:
    """Without punctuation around it and, with `words`, without stop words at its ends."""
    span = trimmed(span.strip("()[] "))
    if not words:
        return span
    parts = span.split()
    while len(parts) > 1 and is_small(parts[0]):
        parts = parts[1:]
    while len(parts) > 1 and is_small(parts[-1]):
        parts = parts[:-1]
    return " ".join(parts).strip(" \"',;:*")
