"""The values in an English text: numbers with their units, dates, times of day, sums of money; and its words.

For the marker. Number words are read by text2num; names of units, currencies and months are CLDR's, by Babel.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Literal, NamedTuple

from babel import Locale
from babel.dates import get_month_names
from text_to_num import alpha2digit

TEXT_LIMIT = 20_000  # characters of a text that are read
HALF_A_DAY = 12  # hours
REACH = 4  # tokens after a number among which its unit is: "25 full working days"
CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "NOK", "DKK", "PLN", "CZK", "INR", "CNY", "CAD", "AUD", "BRL")

_UNSAID = frozenset({"a", "an", "the", "mr", "mrs", "ms", "dr", "prof"})

Kind = Literal["word", "number", "unit", "date", "time", "pause", "end"]


class Token(NamedTuple):
    """A word or a value of a text.

    value: what is compared. half: of a time of day, a or p, "" where it isn't said; of an ordinal number, th.
    """

    kind: Kind
    value: str
    half: str = ""


END = Token("end", ".")


@lru_cache(maxsize=1)
def unit_names() -> dict[str, str]:
    """Units of measure and currencies by their English names, from CLDR."""
    names: dict[str, str] = {}
    for locale in (Locale.parse("en"), Locale.parse("en_GB")):
        for unit, lengths in locale._data["unit_patterns"].items():
            for length in ("long", "short"):
                for pattern in lengths.get(length, {}).values():
                    if isinstance(pattern, str) and pattern.startswith("{0}"):
                        names.setdefault(_name(pattern.removeprefix("{0}")), unit)
        for code in CURRENCIES:
            plurals = locale._data["currency_names_plural"].get(code, {}).values()
            for name in (code, locale.currencies[code], locale.currency_symbols.get(code, code), *plurals):
                names.setdefault(_name(name), code)
    letters = {name for name in names if len(name) == 1 and name.isalpha()} - {"m", "g", "l", "s", "h", "v", "w"}
    for name in ("", *letters):  # "5080C" is a code
        names.pop(name, None)
    names |= {"$": "USD", "dollar": "USD", "quid": "GBP", "franc": "CHF"}
    names |= {"pound": "GBP"}  # a weight in pounds is taken for one as well
    names |= {"percent": "percent", "per cent": "percent", "%": "percent", "nm": "torque-newton-meter"}
    names |= {"min": "duration-minute", "hrs": "duration-hour", "sec": "duration-second"}
    return names


def _name(text: str) -> str:
    return " ".join(token.value for token in _lexemes(plain(text)))


_MONTHS = {
    name.lower().rstrip("."): number
    for width in ("wide", "abbreviated")
    for number, name in get_month_names(width, locale="en").items()
} | {"sept": 9}
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_OF_DAY = r"(?:\s*(?P<{0}_m>am|pm)\b|\s+(?:in\s+the|at)\s+(?P<{0}_d>morning|afternoon|evening|night))"
_LEXER = re.compile(
    rf"""
    (?P<iso>\b(?P<iso_y>\d{{4}})-(?P<iso_m>\d\d)-(?P<iso_d>\d\d)\b)
  | (?P<dmy>\b(?P<dmy_d>\d{{1,2}})(?:st|nd|rd|th)?(?:\s+of)?\s+(?P<dmy_m>{_MONTH})\b\.?(?:,?\s+(?P<dmy_y>\d{{4}})\b)?)
  | (?P<mdy>\b(?P<mdy_m>{_MONTH})\b\.?\s+(?:the\s+)?(?P<mdy_d>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:)
      (?:,?\s+(?P<mdy_y>\d{{4}})\b)?)
  | (?P<past>\b(?P<past_w>half\s+past|quarter\s+past|quarter\s+to)\s+(?P<past_h>\d{{1,2}})\b{_OF_DAY.format("past")}?)
  | (?P<noon>\b(?:12\s+)?(?P<noon_w>noon|midday|midnight)\b)
  | (?P<clock>(?<![\w.:])(?P<clock_h>\d{{1,2}})(?:[:h]|\.(?=\d\d\s*[ap]m))(?P<clock_i>\d\d)(?![\d:])
      {_OF_DAY.format("clock")}?(?:\s+o'clock)?)
  | (?P<hour>(?<![\w.:])(?P<hour_h>\d{{1,2}})(?:\s*o'clock{_OF_DAY.format("hour")}?|{_OF_DAY.format("hours")}))
  | (?P<number>(?:(?<![\w\d])-|\bminus\s+)?\d+(?:[,\ ]\d{{3}}(?!\d))*(?:\.\d+)?)(?P<nth>(?:st|nd|rd|th)\b)?
      (?P<more>\s+and\s+a\s+half\b)?
  | (?P<word>[^\W\d_]+(?:'(?!s\b)[^\W\d_]+)*) (?:'s\b)?
  | (?P<sign>[$€£%]|°\s?[cf]\b|°)
  | (?P<end>[;!?]|[.:](?=\s|$)|\n)
  | (?P<pause>,)
  | (?P<dash>[–—]|(?<=\d)-(?=\d)|\s-\s)
    """,
    re.VERBOSE,
)


def tokens(text: str, clock: bool = False) -> list[Token]:
    """The words and values of a text. clock: "10.30" is a time of day."""
    text = plain(text)
    if clock:
        text = re.sub(r"(?<![\d.])(\d{1,2})\.(\d\d)(?!\.?\d)", r"\1:\2", text)
    return _with_units(_lexemes(text))


def _lexemes(text: str) -> list[Token]:
    return [token for found in _LEXER.finditer(text) for token in _lexed(found)]


def plain(text: str) -> str:
    """Lower case, without accents, quotes and marks; number words as digits, contracted negations written out."""
    text = unicodedata.normalize("NFKC", text[:TEXT_LIMIT]).replace("’", "'").replace("−", "-")
    text = re.sub(r"[*`\"“”„«»]|_(?=\W)|(?<=\W)_", "", text)
    text = re.sub(r"\bno one\b", "nobody", text, flags=re.IGNORECASE)
    text = unicodedata.normalize("NFD", alpha2digit(text, "en", 0.0).lower())
    text = unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", text))
    text = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1m", text)
    text = re.sub(r"\b(dr|mr|mrs|ms|prof|st|no|[a-z])\.(?=\s?[a-z\d])", r"\1 ", text)  # no end of a sentence
    return re.sub(r"n't\b", " not", re.sub(r"\bcan't\b", "can not", text))


def _lexed(found: re.Match[str]) -> Iterator[Token]:
    part = found.groupdict()
    kind = next(name for name in _KINDS if part[name] is not None)
    if kind in ("iso", "dmy", "mdy"):
        month, day, year = (part[f"{kind}_{name}"] for name in "mdy")
        yield Token("date", f"{_MONTHS.get(month) or int(month)}-{int(day)}-{year or ''}")
    elif kind == "noon":
        yield Token("time", "0", "a" if part["noon_w"] == "midnight" else "p")
    elif kind in ("past", "clock", "hour"):
        yield _time(kind, part)
    elif kind == "number":
        value = Decimal(re.sub(r"[, ]", "", part["number"].replace("minus", "-")))
        value += Decimal("0.5") if part["more"] else 0
        yield Token("number", f"{value.normalize():f}", "th" if part["nth"] else "")
    elif kind == "word":
        word = part["word"].replace("'", "")
        if word not in _UNSAID:
            yield Token("word", word[:-1] if len(word) > 3 and word.endswith("s") and word[-2] != "s" else word)
    elif kind == "sign":
        yield Token("unit", re.sub(r"\s", "", part["sign"]))
    else:
        yield Token("end", ".") if kind == "end" else Token("pause", "," if kind == "pause" else "–")


_KINDS = ("iso", "dmy", "mdy", "past", "noon", "clock", "hour", "number", "word", "sign", "end", "pause", "dash")


def _time(kind: str, part: dict[str, str | None]) -> Token:
    hour = int(part[f"{kind}_h"] or 0)
    minute = int(part.get("clock_i") or 0)
    if kind == "past":
        said = " ".join((part["past_w"] or "").split())
        minute = {"half past": 30, "quarter past": 15, "quarter to": -15}[said]
    names = (part.get(name) for each in (kind, "hours") for name in (f"{each}_m", f"{each}_d"))
    of_day = next((name for name in names if name), "")
    if of_day in ("am", "morning") or (kind == "clock" and hour == 0 and not of_day):
        half = "a"
    else:
        half = "p" if of_day or hour > HALF_A_DAY else ""
    return Token("time", str((hour % HALF_A_DAY * 60 + minute) % (HALF_A_DAY * 60)), half)


def _with_units(raw: Sequence[Token]) -> list[Token]:
    """The tokens with names of units read as such, where a number is near; a currency follows its number."""
    names = unit_names()
    found: list[Token] = []
    currency: Token | None = None
    at = 0
    while at < len(raw):
        token, length = raw[at], 1
        for length in (3, 2, 1):
            name = " ".join(each.value for each in raw[at : at + length])
            unit = names.get(name)
            if unit is not None and all(each.kind in ("word", "unit") for each in raw[at : at + length]):
                break
        else:
            unit, length = None, 1
        following = raw[at + length] if at + length < len(raw) else None
        last = next((each for each in reversed(found[-REACH + 1 :]) if each.kind != "word"), END)
        near = "" if last.half else last.kind  # the first week is no measure
        if unit in CURRENCIES and following is not None and following.kind == "number" and near != "number":
            currency = Token("unit", str(unit))
        elif unit is not None and near == "number":
            found.append(Token("unit", unit))
        else:
            length = 1
            if token.kind != "unit":
                found.append(token)
            if token.kind == "number" and currency is not None:
                found.append(currency)
                currency = None
        at += length
    return found
