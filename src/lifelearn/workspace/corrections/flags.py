"""What looks secret or personal in a text, so that people see it before a model learns it.

By pattern, and by libraries that know the check digits and the forms of numbers; rather once too often: a flag only
asks. The whole text is looked at, in time that grows with its length and no faster: each pattern looks a bounded way
ahead. Knows no tables and keeps nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module

LEAST_ENTROPY = 3.5  # bits a character; words have less
NAMED_BEFORE, NAMED_AFTER = 80, 40  # characters in which a word says what a number is

# In the order in which they are told.
KINDS = {
    "secret": "what looks like a password, a key or a token",
    "card": "a card number",
    "iban": "a bank account number",
    "identity": "an identity, tax or insurance number",
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
    found = dict.fromkeys(each for text in texts for each in _in_one(text))
    return sorted(found, key=lambda each: list(KINDS).index(each.kind))


def kinds(*texts: str) -> list[str]:
    return list(dict.fromkeys(each.kind for each in find(*texts)))


_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
# Forms of tokens that their makers have made known.
_TOKEN = re.compile(
    r"""\b(?: (?:AKIA|ASIA)[0-9A-Z]{16} | gh[pousr]_\w{30,} | github_pat_\w{30,} | glpat-[\w-]{20,}
        | xox[abprs]-[\w-]{10,} | sk-[\w-]{20,} | (?:sk|pk|rk)_(?:live|test)_\w{16,} | AIza[\w-]{35} | hf_\w{30,}
        | npm_\w{30,} | pypi-[\w-]{40,} | ll_[\w-]{30,}
        | (?<![\w-])eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]* )""",  # begun once in a row of its characters
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
# As cards are printed; and however a digit at a time may be set apart.
_CARD = re.compile(
    r"(?<![\d.,])(?:\d{13,19}|\d{4}([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|\d{4}([ -])\d{6}\2\d{4,5})(?!\d)"
)
_CARD_APART = re.compile(r"(?<![\d.,])(?:\d[ -]?){12,18}\d(?!\d)")
_IBAN = re.compile(r"\b[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,3})?\b")
_ISSUER = re.compile(r"[3-6]|2[2-7]")
_PHONE = re.compile(r"(?<![\w.,+/-])(?:\+|\(\+?)?\d(?:[\s().\-/]{0,3}\d){5,15}(?![\w])")
_PHONE_WORD = re.compile(r"\b(?:phone|tel|telephone|mobile|cell|fax|hotline|extension|call)\b", re.IGNORECASE)
_GROUPED = re.compile(r"\(?\d{3}\)?[\s.-]\d{3}[\s.-]\d{4}")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}")


@dataclass(frozen=True)
class _Number:
    """A national number of persons. form: how it is written. check: the module of stdnum that knows it, "" for a form
    that says enough. name: words, one of which must stand near; "" where form and check hardly hold by chance.
    """

    form: re.Pattern[str]
    check: str = ""
    name: re.Pattern[str] | None = None


def _number(form: str, check: str = "", name: str = "") -> _Number:
    named = re.compile(rf"\b(?:{name})", re.IGNORECASE) if name else None
    return _Number(re.compile(rf"(?<![\w.,+/-])(?:{form})(?![\w/-]|[.,]\d)", re.IGNORECASE), check, named)


# Of any number of the form that says nothing else, about one in 20 or fewer holds without a name: one in 300 for
# Germany, in 250 for Sweden, in 97 and fewer for France, Belgium and Norway, in 23 for Spain, whose form is rare.
# Where it would be one in ten, or the form is any row of digits, the number must be named.
_IDENTITIES = (
    _number(r"\d{3}-\d{2}-\d{4}", "us.ssn"),  # it has no check digit, and no other number is written so
    _number(r"\d{9}|\d{3} \d{2} \d{4}", "us.ssn", r"ssn\b|social\s+security"),
    _number(r"[1-9]\d{10}|[1-9]\d \d{3} \d{3} \d{3}", "de.idnr"),
    _number(r"[1-478] ?\d\d ?\d\d ?\d[\dAB] ?\d{3} ?\d{3} ?\d\d", "fr.nir"),
    _number(r"\d{8}-?[A-Z]", "es.dni"),
    _number(r"[XYZ]-?\d{7}-?[A-Z]", "es.nie"),
    _number(r"[A-Z]{6}[\dL-NP-V]{2}[A-Z][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z]", "it.codicefiscale"),
    # The United Kingdom's national insurance number has no check digit either, and a form of its own.
    _number(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]"),
    _number(r"\d\d\.\d\d\.\d\d-\d{3}\.\d\d", "be.nn"),
    _number(r"756\.\d{4}\.\d{4}\.\d\d", "ch.ssn"),
    _number(r"\d{6}[-+A-FU-Y]\d{3}[\dA-Y]", "fi.hetu"),
    _number(r"\d{6}[-+]\d{4}", "se.personnummer"),
    _number(r"\d{6} ?\d{5}", "no.fodselsnummer"),
    _number(r"\d{3}\.\d{3}\.\d{3}-\d\d", "br.cpf"),
    _number(r"[A-Z]{4}\d{6}[HM][A-Z]{5}[\dA-Z]\d", "mx.curp"),
    _number(r"\d{11}", "pl.pesel", r"pesel"),
    _number(r"\d{9}|\d{4}[ .]\d{2}[ .]\d{3}", "nl.bsn", r"bsn\b|burgerservice|sofi-?nummer"),
    _number(r"\d{6}-?\d{4}", "dk.cpr", r"cpr\b|cpr-|personnummer"),
    _number(r"\d{3}[ -]?\d{3}[ -]?\d{4}", "gb.nhs", r"nhs\b"),
    _number(r"\d{3}[ -]?\d{3}[ -]?\d{3}", "ca.sin", r"sin\s+(?:is|no|number)\b|social\s+insurance"),
    _number(r"\d{3} ?\d{3} ?\d{3}", "au.tfn", r"tfn\b|tax\s+file"),
    _number(r"\d{4}[ -]?\d{4}[ -]?\d{4}", "in_.aadhaar", r"aadh?aar"),
)


def _in_one(text: str) -> Iterator[Found]:
    for pattern in (_PRIVATE_KEY, _TOKEN, _URL_WITH_PASSWORD, _SAID, _ASKED):
        for match in pattern.finditer(text):
            yield Found("secret", match[0])
    for match in _RANDOM.finditer(text):
        if _is_random(match[0]):
            yield Found("secret", match[0])
    for match in _EMAIL.finditer(_URL_WITH_PASSWORD.sub(" ", text)):
        yield Found("email", match[0])
    # What one kind has taken is no other's: the most certain come first.
    taken = _Taken(text)
    taken.take("iban", _IBAN, _iban)
    for number in _IDENTITIES:
        taken.take("identity", number.form, lambda match, number=number: _identity(number, match))  # type: ignore[misc]
    taken.take("card", _CARD, lambda match: len(match[0]) if _is_card(match[0]) else 0)
    taken.take_spans("card", (match.span() for match in _CARD_APART.finditer(taken.left) if _is_card(match[0])))
    taken.take_spans("phone", _international(taken.left))
    phones = (match.span() for match in _PHONE.finditer(taken.left) if _is_phone(match[0], _near(_PHONE_WORD, match)))
    taken.take_spans("phone", phones)
    yield from taken.found


class _Taken:
    """What was found in a text, and what is left of it: blanks where something was found."""

    def __init__(self, text: str) -> None:
        self.left = text
        self.found: list[Found] = []

    def take(self, kind: str, pattern: re.Pattern[str], size: Callable[[re.Match[str]], int]) -> None:
        """size: how many characters of a match are one; 0 for none, and then the next may begin within it."""
        spans: list[tuple[int, int]] = []
        at = 0
        while match := pattern.search(self.left, at):
            length = size(match)
            at = match.start() + (length or 1)
            if length:
                spans.append((match.start(), at))
        self.take_spans(kind, spans)

    def take_spans(self, kind: str, spans: Iterable[tuple[int, int]]) -> None:
        """In their order."""
        kept: list[str] = []
        at = 0
        for start, end in spans:
            self.found.append(Found(kind, self.left[start:end]))
            kept += [self.left[at:start], " " * (end - start)]
            at = end
        self.left = "".join([*kept, self.left[at:]])


def _near(name: re.Pattern[str], match: re.Match[str]) -> bool:
    """Whether a word that names it stands near: in a long text another place says nothing of this one."""
    return bool(name.search(match.string, max(0, match.start() - NAMED_BEFORE), match.end() + NAMED_AFTER))


def _identity(number: _Number, match: re.Match[str]) -> int:
    if number.name and not _near(number.name, match):
        return 0
    if number.check and not import_module(f"stdnum.{number.check}").is_valid(_plain(match[0]).upper()):
        return 0
    return len(match[0])


def _iban(match: re.Match[str]) -> int:
    """An account number may be followed by a word that its pattern takes for a part of it."""
    from stdnum import iban

    words = match[0].split(" ")
    starts = (words[:count] for count in range(len(words), 0, -1))
    plain = (("".join(start), len(" ".join(start))) for start in starts)
    return next((size for one, size in plain if 15 <= len(one) <= 34 and iban.is_valid(one)), 0)


def _international(text: str) -> list[tuple[int, int]]:
    """Numbers with their country. National ones are left to the rules here: a library must be told the country for
    them, and a workspace has members in several.
    """
    if "+" not in text and "＋" not in text:
        return []
    from phonenumbers import Leniency, PhoneNumberMatcher  # reading it takes longer than looking at a text

    # As many tries as the text has characters: it is not to end early. Possible ones: valid are only those of ranges
    # that were in use when the library was made.
    matches = PhoneNumberMatcher(text, None, leniency=Leniency.POSSIBLE, max_tries=max(1, len(text)))
    return [(each.start, each.end) for each in matches]


def _plain(text: str) -> str:
    """Digits of all scripts as 0 to 9."""
    return "".join(str(int(each)) if each.isdecimal() else each for each in text)


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
    """By its check digit and by how cards begin: with 3 to 6, or 22 to 27, so that no row of years is one."""
    from stdnum import luhn

    digits = "".join(each for each in _plain(text) if each.isdecimal())
    return bool(_ISSUER.match(digits)) and len(set(digits)) > 1 and luhn.is_valid(digits)


def _is_phone(text: str, named: bool) -> bool:
    digits = sum(each.isdigit() for each in text)
    if not 6 <= digits <= 15 or _DATE.fullmatch(text) or re.fullmatch(r"\d+\.\d+", text):
        return False
    if text.startswith(("+", "(+", "00")) or _GROUPED.fullmatch(text):
        return digits >= 7
    return (text.startswith(("0", "(0")) and digits >= 8) or named
