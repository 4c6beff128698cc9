"""E-mail addresses and names as people enter them, made clean and in one form. Knows no database and no forms."""

from __future__ import annotations

import re
import unicodedata

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from lifelearn.workspace.errors import InvalidError

NAME_CHARACTERS = 80

# Intranets use it, and whether mail arrives is not looked at.
SPECIAL_USE_DOMAIN_NAMES[:] = [name for name in SPECIAL_USE_DOMAIN_NAMES if name != "local"]

# Unicode's Default_Ignorable_Code_Point, but for the joiners: in some scripts they tell words apart.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_AT = str.maketrans("＠﹫", "@@")


def clean_email(text: str) -> str:
    """The one form of an address: what is stored, compared, counted and recorded. Raises ValueError, with a sentence.

    The part before the @ by NFKC and in lower case; the domain as IDNA maps it; without what is not to be seen. Case is
    not folded any further: "ß" as "ss" would be another mailbox (RFC 8265 says the same of names). Letters that only
    look alike, such as a Cyrillic "а", stay apart: they are other addresses.
    """
    if not _plain(text):
        raise ValueError("Enter an e-mail address.")
    try:
        address = _checked(_plain(text))
    except ValueError:  # of nothing but such letters, perhaps, which earlier releases took: it is itself
        address = _checked(text.strip())
    while True:  # a letter's form may have a smaller one yet
        local, _, domain = address.rpartition("@")
        folded = _plain(unicodedata.normalize("NFKC", local)).lower()
        try:
            simpler = _checked(f"{folded}@{domain}")
        except ValueError:  # such as "…", which would be three dots: it is itself
            return address
        if simpler == address:
            return address
        address = simpler


def forms_of_email(text: str) -> tuple[str, ...]:
    """The forms in which a row may hold an address, the most exact one first; none for what is no address.

    Earlier releases kept an address as it was typed, in lower case: they told "ｂｅｎ@example.org" from
    "ben@example.org", and their rows keep the form that mail was sent to.
    """
    found = []
    for form in (_checked, clean_email):
        try:
            found.append(form(text.strip()))
        except ValueError:
            continue
    return tuple(dict.fromkeys(found))


def same_address(one: str, other: str) -> bool:
    """Whether both are spellings of one address."""
    try:
        return one == other or clean_email(one) == clean_email(other)
    except ValueError:
        return False


def _checked(text: str) -> str:
    try:
        checked = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        raise ValueError("This is not an e-mail address, such as anna@example.org.") from None
    return checked.normalized.lower()


def _plain(text: str) -> str:
    """Without what comes along when an address is copied, and with an @ of East Asian keyboards as any other."""
    return _UNSEEN.sub("", text).translate(_AT).strip()


def clean_name(text: str, what: str = "a name") -> str:
    """One line without invisible characters, which could hide in a list what somebody is called. Raises ValueError."""
    name = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    if not name:
        raise ValueError(f"Enter {what}.")
    if len(name) > NAME_CHARACTERS:
        raise ValueError(f"Use at most {NAME_CHARACTERS} characters.")
    return name


def name_of(text: str) -> str:
    """An organisation's name, or a key's: one line, without what hides or turns text. Raises InvalidError."""
    try:
        return clean_name(text)
    except ValueError as error:
        raise InvalidError(str(error), {"name": str(error)}) from None


def email_of(text: str) -> str:
    """An address in the form that is kept. Raises InvalidError."""
    try:
        return clean_email(text)
    except ValueError as error:
        raise InvalidError(str(error), {"email": str(error)}) from None
