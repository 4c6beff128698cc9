"""What looks secret or personal in a text, so that people see it before a model learns it.

By pattern alone, and rather once too often: a flag only asks. Knows no tables and keeps nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

TEXT_CHARS = 8_000  # of one text that are looked at
LEAST_ENTROPY = 3.5  # bits a character; words have less

# In the order in which they are told.
KINDS = {
    "secret": "what looks like a password, a key or a token",
    "card": "a card number",
    "iban": "a bank account number",
    "email": "an e-mail address",
    "phone": "a phone number",
}


@dataclass(frozen=True)
class Found:
    """kind: one of KINDS. text: where it was seen."""

    kind: str
    text: str


def find(*texts: str) -> list[Found]:
    """Everything that is flagged in the texts, each once, in the order of KINDS."""
    found = dict.fromkeys(each for text in texts for each in _in_one(text[:TEXT_CHARS]))
    return sorted(found, key=lambda each: list(KINDS).index(each.kind))


def kinds(*texts: str) -> list[str]:
    return list(dict.fromkeys(each.kind for each in find(*texts)))


_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
# Forms of tokens that their makers have made known.
_TOKEN = re.compile(
    r"""\b(?: (?:AKIA|ASIA)[0-9A-Z]{16} | gh[pousr]_\w{30,} | github_pat_\w{30,} | glpat-[\w-]{20,}
        | xox[abprs]-[\w-]{10,} | sk-[\w-]{20,} | (?:sk|pk|rk)_(?:live|test)_\w{16,} | AIza[\w-]{35} | hf_\w{30,}
        | npm_\w{30,} | pypi-[\w-]{40,} | ll_[\w-]{30,} | eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]* )""",
    re.VERBOSE,
)
_NAMES = (
    r"(?:pass(?:word|wd|phrase|code)|pwd|pin(?:\s+code)?|(?:api|secret|access|private)[\s_-]?key"
    r"|(?:access|door)\s+code)"
)
_SAID = re.compile(
    rf"\b{_NAMES}\b[^.?!\n]{{0,40}}?(?:\bis\b|\bto\b|[:=])\s*(?!not\b|in\b|on\b|at\b|kept\b|stored\b|sent\b|set\b|the\b"
    r"|your\b|by\b|with\b|never\b|always\b|managed\b|required\b|needed\b|longer\b|shorter\b|reset\b|changed\b|a\b|an\b)\S+",
    re.IGNORECASE,
)
_ASKED = re.compile(
    rf"\b(?:what|which|tell|give|know|remember)\b[^.?!\n]{{0,80}}\b{_NAMES}\b"
    r"(?!\s+(?:polic|manager|reset|rule|length|expir|require|format|tool))",
    re.IGNORECASE,
)
_URL_WITH_PASSWORD = re.compile(r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{1,80}:[^\s/@]{1,80}@", re.IGNORECASE)
_RANDOM = re.compile(r"(?<![\w+=/-])[\w+=-]{20,200}(?![\w+=-])")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,4}(?![\w-])")
_CARD = re.compile(r"(?<![\d.,])(?:\d[ -]?){12,18}\d(?![\d])")
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?\b")
_PHONE = re.compile(r"(?<![\w.,+/-])(?:\+|\(\+?)?\d(?:[\s().\-/]{0,3}\d){5,15}(?![\w])")
_PHONE_WORD = re.compile(r"\b(?:phone|tel|telephone|mobile|cell|fax|hotline|extension|call)\b", re.IGNORECASE)
_GROUPED = re.compile(r"\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")


def _in_one(text: str) -> Iterator[Found]:
    for pattern in (_PRIVATE_KEY, _TOKEN, _URL_WITH_PASSWORD, _SAID, _ASKED):
        for match in pattern.finditer(text):
            yield Found("secret", match[0])
    for match in _RANDOM.finditer(text):
        if _is_random(match[0]):
            yield Found("secret", match[0])
    for match in _EMAIL.finditer(_URL_WITH_PASSWORD.sub(" ", text)):
        yield Found("email", match[0])
    left = text
    for match in _IBAN.finditer(text):
        if _is_iban(match[0]):
            left = left.replace(match[0], " ")
            yield Found("iban", match[0])
    for match in _CARD.finditer(left):
        if _is_card(match[0]):
            left = left.replace(match[0], " ")
            yield Found("card", match[0])
    named = bool(_PHONE_WORD.search(text))
    for match in _PHONE.finditer(left):
        if _is_phone(match[0], named):
            yield Found("phone", match[0])


def _is_random(word: str) -> bool:
    """Whether no person made the word up: letters and digits mixed as chance does it."""
    if _UUID.fullmatch(word):
        return False
    if re.fullmatch(r"[0-9a-fA-F]{32,}", word):
        return len(set(word)) > 8
    kinds_of = (re.search(kind, word) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    if not all(kinds_of) or re.search(r"[a-z]{7}|[_-][A-Za-z]{2,}[_-]", word):
        return False
    counts = Counter(word).values()
    return -sum(n / len(word) * math.log2(n / len(word)) for n in counts) >= LEAST_ENTROPY


def _is_card(text: str) -> bool:
    digits = [int(each) for each in text if each.isdigit()]
    if digits[0] not in (2, 3, 4, 5, 6) or len(set(digits)) < 2:
        return False
    doubled = [digit if at % 2 == 0 else sum(divmod(2 * digit, 10)) for at, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _is_iban(text: str) -> bool:
    plain = text.replace(" ", "").upper()
    if not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def _is_phone(text: str, named: bool) -> bool:
    digits = sum(each.isdigit() for each in text)
    if not 6 <= digits <= 15 or _DATE.fullmatch(text) or re.fullmatch(r"\d+\.\d+", text):
        return False
    if text.startswith(("+", "(+", "00")) or _GROUPED.fullmatch(text):
        return digits >= 7
    return (text.startswith(("0", "(0")) and digits >= 8) or named
