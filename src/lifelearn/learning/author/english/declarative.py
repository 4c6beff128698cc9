"""A question as a statement, by rules of English: "Where was Ann born?" is "Ann was born in Ulm."

A question's other order makes other questions of it (rewording.py). Its answer in its own words is what a small model
must be shown, since it begins with the question's words whatever it has been taught. Pure text.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from lifelearn.learning.author.english.question import SETTING, Subject
from lifelearn.learning.types import Correction
from lifelearn.learning.words import MESSAGE_LIMIT, capitalised, listed

BE = r"(?:is|are|was|were)"
AUXILIARY = r"(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|must|may)"
WHEN = re.compile(
    r"(?:when|(?:(?:on|in|at) )?(?:what|which) (?:exact |specific )?(?:date|year|day(?:[, ]+month)?(?:,? and year)?|"
    rf"month and year))(?= {AUXILIARY}\b)",
    re.IGNORECASE,
)
PREPOSITION = re.compile(
    r"(?P<in>in|at|on|by|for|to|of|with|from|under|until|during|within|as) (?:(?:what|which) (?P<noun>.+)|whom)",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:in )?(?:about |around |c\. ?)?[12]\d{3}")
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_DATE = re.compile(
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?(?: of)? {_MONTH}\b|\b{_MONTH}\.? \d{{1,2}}\b|\b\d+[-./]\d+[-./]\d+\b", re.IGNORECASE
)
_DESCRIBED = r"(?:(?!(?:that|who|which|to|in|at|by|of|for)\b)[\w-]+ ){0,5}?"
_NAME = r"[A-Z0-9][\w.&'’-]*(?: (?:(?:of|the|and|de|la|van|von|&) )?[A-Z0-9][\w.&'’-]*)*"
_IRREGULAR = dict(
    pair.split(":")
    for pair in listed(
        """
        be:was become:became begin:began bring:brought build:built buy:bought catch:caught choose:chose
        come:came cost:cost do:did draw:drew drink:drank drive:drove fall:fell feel:felt fight:fought find:found
        fly:flew get:got give:gave go:went grow:grew hang:hung have:had hear:heard hold:held keep:kept know:knew
        lead:led leave:left lie:lay lose:lost make:made mean:meant meet:met pay:paid put:put read:read rise:rose
        run:ran say:said see:saw sell:sold send:sent set:set shoot:shot show:showed sing:sang sit:sat
        occur:occurred refer:referred submit:submitted star:starred travel:travelled cancel:cancelled
        sleep:slept speak:spoke spend:spent stand:stood stop:stopped swim:swam take:took teach:taught tell:told
        think:thought throw:threw understand:understood wear:wore win:won write:wrote
        """
    )
)
_VERBS = frozenset(_IRREGULAR) | frozenset(
    listed(
        """
        abandon accept act add adopt aim air allow answer appear apply approve arrive ask attend award belong bill
        book border borrow call care carry change charge check clean close coach compete complete compose connect
        contact contain contribute cover create cross deal debut decide defeat define deliver depend deploy design
        develop die direct divide divorce earn emigrate employ end enlist enter establish expire feature file fill
        finish flow form found graduate grant hand handle happen help hire host house include inherit inspire install
        introduce invent issue join last launch lecture link listen live lock log look love manage manufacture marry
        master measure merge migrate move name need offer open operate order originate own park participate pass
        perform pertain play practice premiere process produce promote provide publish purchase reach receive record
        recruit refund register reimburse release relocate remain rename renew rent repair replace report represent
        require reserve reset resign rest retire return rule save score separate serve settle share ship sign
        specialize sponsor staff start stay stock store study succeed succumb suffer support surrender train transfer
        treat update upload use vacate visit vote walk want weigh work
        """
    )
)
_PARTICIPLE = re.compile(
    r"(?:\w+ly |first |last )?(?:\w{2,}ed|\w+wn|born|built|made|held|set|sold|kept|found|sung|shot|led|won|paid|sent|"
    r"taught|\w+(?:itt|ok|os|iv|ak|tt|rit)en|in|on|at|from|of|for|with|by|to|about|based|open|called)\b"
)
_PASSIVE = re.compile(
    r"\w{2,}(?<!e)ed|born|built|made|held|set|sold|kept|found|shot|led|paid|sent|taught|\w+(?:itt|ok|os|iv|ak|tt|rit)en"
)
# "Which form do I need", "How long are backups kept"; who it is of comes next, and is no name.
_ASKED_OF = re.compile(
    rf"(?P<wh>(?:[a-z]+ )?(?:how|what|which|where|when|whom|why)\b(?:(?! {AUXILIARY}\b).)*) (?P<verb>{AUXILIARY}) "
    r"(?P<us>(?:I|we|you|they|one) )?(?P<rest>.+)",
    re.IGNORECASE,
)
# "We need | at the Acme lab", "they have | to return an item"; "What colour is the badge", "How long is the trial".
_WITHIN = re.compile(
    r"(.+?(?: in| out| up)?) ((?:at|for|in|on|with|per|when|if|before|after) (?:(?:the|our|your|an?) )?[A-Za-z].*"
    r"|to (?!on\b)[a-z].*)"
)
# "Which owner does it have?": it has no Otis.
_NO_OBJECT = (" have", " has", " had", " do", " does", " used for", " called", " like")
_AT_LAST = re.compile(r"(.+) ((?:at|for|in|on|with) (?:the )?[A-Z].*)")
_IS_OF = re.compile(
    rf"(?:(?:what|which) (?!day|date|year|month|time)[a-z]+|how (?:much|long|high|big|old|large|tall)) (?P<be>{BE}) "
    r"(?P<what>(?:the|our|an?) .+)",
    re.IGNORECASE,
)
_SMALL_BEFORE_NOUNS = frozenset(listed("a an the our my your their of in at for to and each every no"))
_TIES = listed("about against as at by during for from in into near of on since to under until with")
_TIE = rf"(?:{'|'.join(_TIES)})"
_SERVED = re.compile(rf"\b(?:{_PASSIVE.pattern}) {_TIE}\b")  # "When is breakfast served at …": it is not placed
# An answer that says itself how it stands to the rest: "every Friday", "behind the lab".
_TIED = re.compile(
    rf"(?:{_TIE}|after|all|around|before|behind|between|daily|each|every|here|inside|next|once|outside|there|twice)\b"
)  # not of a title: "After Hours"
_SETTING = re.compile(rf"(?!\w+ (?:which|what)\b){SETTING}, ", re.IGNORECASE)
_WHAT = re.compile(rf"what (?P<be>{BE}) (?P<what>the .+)(?<! called)(?<! like)", re.IGNORECASE)
_WHOSE = re.compile(rf"what (?P<be>{BE}) (?P<what>.+['’]s? .+)(?<! called)(?<! like)", re.IGNORECASE)
_COST = re.compile(r"how much does (?P<what>.+?) cost(?P<per> .+)?", re.IGNORECASE)
_WHO = re.compile(r"(?:who|which team) (?P<does>(?!(?:do|does|did|should|can|could|would|am)\b).+)", re.IGNORECASE)
_MANY = r"(?:how many|what number of)"
_COUNTED = re.compile(rf"{_MANY} (?P<noun>.+)", re.IGNORECASE)
_HOW_MANY = re.compile(
    rf"{_MANY} (?P<noun>(?:(?!{AUXILIARY}\b)\S+ )+)(?P<does>{BE} {_PARTICIPLE.pattern}.*)",
    re.IGNORECASE,
)
_DOES = re.compile(rf"{_PARTICIPLE.pattern}|(?:the first|an?|home|responsible|behind)\b")
_ASKED_LAST = re.compile(rf"(?P<said>[^,]+ {_TIE}) (?:which|what) [a-z][a-z -]*", re.IGNORECASE)
_WEEKDAY = re.compile(r"(?:mon|tues|wednes|thurs|fri|satur|sun)days?\b", re.IGNORECASE)
_CLOCK = re.compile(r"noon|midnight|\d{1,2}(?:[:.]\d\d)?(?: ?[ap]\.?m\b\.?| o'clock)?", re.IGNORECASE)
_MONTH_OF = re.compile(rf"{_MONTH}(?: \d{{4}})?", re.IGNORECASE)


def restated(prompt: str, correction: Correction, subject: Subject | None) -> str:
    """The answer in the prompt's own words: "The price of X is 14 euros." to "What is the price of X?"; "" for others.

    So models answer by themselves, and so they must be taught: one that knows only another sentence begins with the
    prompt's words all the same, and then has nothing right to say. Of the forms that models answer so only: the fewer
    sentences a lesson has, the farther it reaches (docs/LOG.md).
    subject: of the corrected question.
    """
    where, asked = _one_question(prompt)
    return _sentence(where, _echoed(asked, _told(correction, subject, asked)))


def as_statement(question: str, correction: Correction, subject: Subject | None) -> str:
    """The answer as a sentence in the question's own words, whatever it asks for; "" where no rule of English fits.

    subject: of the corrected question.
    """
    where, asked = _one_question(question)
    if not asked:
        return ""
    told = _told(correction, subject, asked)
    of_us = _ASKED_OF.fullmatch(asked)
    rules = (_completed, _turned) if of_us and of_us["us"] else (_echoed, _turned, _completed)
    return _sentence(where, next(filter(None, (rule(asked, told) for rule in rules)), ""))


@dataclass(frozen=True)
class _Told:
    """An answer as the user put it, and what it is about.

    before: the word before it and its article; name: with its article and "team"; subject: "" if none was found.
    """

    answer: str
    subject: str
    before: str
    the: str
    name: str


def _told(correction: Correction, subject: Subject | None, asked: str) -> _Told:
    """The answer from the user's own words, with the article that its relation's sentence has where they give none."""
    answer = correction.answer.rstrip(".!")
    found = re.search(
        rf"\b(?:(?P<before>\w+)\s+)??(?:(?P<the>the|an?)\s+)?{re.escape(answer)}(?P<team>\s+team\b)?",
        correction.statement,
        re.IGNORECASE,
    )
    before, the, team = ((part or "").lower() for part in found.groups()) if found else ("", "", "")
    states = subject.relation.states[:1] if subject and subject.relation else ()
    article = re.search(r"\b(the|an?) \{a\}", " ".join(states))
    if not the and article and (article[1] == "the" or asked.endswith(" as")):
        the = article[1]
    return _Told(answer, subject.name if subject else "", before, the, f"{the} {answer}{team}".strip())


def _one_question(text: str) -> tuple[str, str]:
    """Its setting ("At Acme, ") and the rest without its mark; nothing where it is no single question."""
    asked = " ".join(text[:MESSAGE_LIMIT].split())
    if not asked.endswith("?") or re.search(r"[.?!] ", asked):
        return "", ""
    setting = _SETTING.match(asked)
    where = setting[0] if setting else ""
    return where, asked[len(where) : -1].rstrip(" .")


def _sentence(where: str, said: str) -> str:
    return capitalised(f"{where}{said.rstrip('.!')}.") if said else ""


def _is_tied(asked: str) -> bool:
    """Whether the answer is what its last word waits for: "Who is Ann married to"."""
    return bool(re.search(rf"\b{_TIE}$", asked))


def _echoed(asked: str, told: _Told) -> str:
    """The question's words and the answer, in the order of the question; "" for other forms."""
    tied = _is_tied(asked)
    if (found := _WHAT.fullmatch(asked)) and (not tied or " that " in asked):  # not "What is the lab used for"
        to = "to " if not told.the and told.before in ("you", "we", "i", "they", "must", "should", "to") else ""
        return f"{found['what']} {found['be'].lower()} {to}{told.answer}"
    if found := _COST.fullmatch(asked):
        return f"{found['what']} costs {told.answer}{found['per'] or ''}"
    if not tied and (found := _WHO.fullmatch(asked)):
        return f"{told.name} {found['does']}"
    return ""


def _turned(asked: str, told: _Told) -> str:
    """The question in another order, with the answer; "" where no rule fits."""
    answer, name, tied = told.answer, told.name, _is_tied(asked)
    if found := _HOW_MANY.fullmatch(asked):
        return f"{_counted(answer, found['noun'])} {found['does']}"
    if found := _ASKED_LAST.fullmatch(asked):
        return f"{found['said']} {name}"
    if not tied and (found := _WHOSE.fullmatch(asked)):
        return f"{found['what']} {found['be'].lower()} {answer}"
    if not tied and (does := _done(asked)):
        noun, did = does
        return f"the {noun} that {did} is {name}" if len(noun.split()) > 2 else f"{name} {did}"
    statement = parted(asked, told.subject)
    if statement is None:
        return ""
    wh, said = statement
    if tied:
        return f"{said} {name}"
    if counted := _COUNTED.fullmatch(wh):
        return f"{said} {_counted(answer, counted['noun'])}" if _ends_with_verb(asked, "have") else ""
    if wh.lower().startswith("how"):
        return ""
    preposition = PREPOSITION.fullmatch(wh)
    if _TIED.match(answer):
        return f"{said} {answer}"
    time = re.search(r"\b(?:when|time|day|date|month|year)\b", wh, re.IGNORECASE)
    if preposition or time or wh.lower() == "where":
        by_itself = (time and _tie_of_time(answer)) or (
            preposition["in"].lower() if preposition else "" if time else "in"
        )
        tie = told.before if told.before in _TIES else by_itself
        return f"{said} {tie} {name}" if tie else ""
    return f"{said} {name}" if _ends_with_verb(asked) else ""


def _completed(asked: str, told: _Told) -> str:
    """The answer within the statement, before where or to what end it holds: "You need form P7 at Acme"."""
    if (found := _IS_OF.fullmatch(asked)) and not _SERVED.search(f"{asked} at"):
        return f"{found['what']} {found['be'].lower()} {told.answer}"
    statement = parted_of_anything(asked, told.subject)
    if statement is None:
        return ""
    wh, said = statement
    said = re.sub(r"\bmy\b", "your", re.sub(r"^I(?= )", "you", said))
    kind = wh.lower()
    within = (_AT_LAST if kind in ("where", "when") else _WITHIN).fullmatch(said)
    does, rest = within.groups() if within else (said, "")
    if kind not in ("where", "when") and not _may_end(does):
        return ""
    if _TIED.match(told.answer):
        what = told.answer
    elif counted := _COUNTED.fullmatch(wh):
        what = _counted(told.answer, counted["noun"])
    elif kind == "how long" and does.endswith(("take", "takes", "last", "lasts")):
        what = told.answer
    elif tie := _tie(kind, told):
        what = f"{tie} {told.name}"
    elif kind in ("where", "when") or kind.startswith(("how", "why")) or does.endswith(_NO_OBJECT):
        return ""
    else:
        what = told.name
    return f"{does} {what} {rest}".rstrip()


def _tie(asked: str, told: _Told) -> str:
    """What ties an answer that is a place or a time to the rest: as the user did, else as the question does."""
    preposition = PREPOSITION.fullmatch(asked)
    by_itself = {"where": "in", "when": _tie_of_time(told.answer), "how long": "for"}
    if preposition is None and asked not in by_itself:
        return asked.removesuffix(" when") if asked.endswith(" when") else ""
    return told.before if told.before in _TIES else preposition["in"] if preposition else by_itself[asked]


def _may_end(does: str) -> bool:
    """Whether what is said so far waits for its object or its place: a verb or a preposition comes last."""
    last = does.rsplit(maxsplit=1)[-1].lower()
    return last in _VERBS or last in _TIES or is_finite(last) or bool(_PARTICIPLE.fullmatch(last))


def parted(question: str, subject: str) -> tuple[str, str] | None:
    """What is asked for, and the rest as a statement: "In which town" and "Ann was born"; None where no rule fits.

    subject: what the question is about; "" and a subject that stands elsewhere leave it to the capitals.
    """
    return (subject and _parted(question, re.escape(subject))) or _parted(question, _NAME)


def parted_of_anything(question: str, subject: str) -> tuple[str, str] | None:
    """As `parted`, and of what has no name, too: "Which form" and "I need at Acme", "How long" and "logs are kept"."""
    found = parted(question, subject)
    if found:
        return found
    asked = _ASKED_OF.fullmatch(question)
    if asked is None:
        return None
    wh, verb, us, rest = asked.group("wh", "verb", "us", "rest")
    verb = verb.lower()
    if us:
        said = {"do": "", "did": None}.get(verb, f"{verb} ")  # the past of a verb that need not be known
        return None if said is None else (wh, f"{us}{said}{rest}")
    words = rest.split()
    for count in range(1, min(6, len(words))):
        who, after = words[:count], words[count:]
        form = _said_of(verb, after[0])
        if form and who[-1].lower() not in _SMALL_BEFORE_NOUNS:
            return wh, " ".join([*who, form, *after[1:]])
    return None


def _said_of(auxiliary: str, verb: str) -> str:
    """ "needs" for "does … need", "are kept" for "are … kept"; "" where `verb` is none that may follow."""
    if auxiliary in ("do", "does", "did"):
        form = _past(verb) if auxiliary == "did" else _present(verb) if auxiliary == "does" else verb
        return form if verb in _VERBS else ""
    if re.fullmatch(BE, auxiliary):
        return f"{auxiliary} {verb}" if _PASSIVE.fullmatch(verb) else ""
    return f"{auxiliary} {verb}" if verb in _VERBS and auxiliary not in ("has", "have", "had") else ""


def _parted(question: str, name: str) -> tuple[str, str] | None:
    who = rf"(?:(?:the|our) {_DESCRIBED})?{name}(?:['’]s?(?: [a-z-]+){{1,2}}?)?"
    found = re.fullmatch(rf"(?P<wh>.+?) (?P<verb>{AUXILIARY}) (?P<who>{who}) (?P<rest>.+)", question)
    if not found:
        placed = re.fullmatch(
            rf"(?P<wh>(?i:where|when|{PREPOSITION.pattern})) (?P<be>{BE}) "
            rf"(?P<what>(?:the )?(?:[\w-]+ ){{0,4}}?(?:the )?{name}(?:['’]s?(?: [a-z-]+){{1,3}})?)",
            question,
        )
        return (placed["wh"], f"{placed['what']} {placed['be']}") if placed and not _SERVED.search(question) else None
    wh, verb, who, rest = found.group("wh", "verb", "who", "rest")
    tied = name != _NAME and re.search(rf"\b{_TIE}$", rest)
    if (wh.lower() in ("who", "what", "which") and not tied) or rest.startswith("of "):
        return None  # "Who was the first … to …?" has no such order
    if verb not in ("do", "does", "did"):
        return (wh, f"{who} {verb} {rest}") if tied or _PARTICIPLE.match(rest) else None
    does = re.fullmatch(r"(?P<how>\w+ly |first )?(?P<verb>\w+)(?P<what>.*)", rest)
    said = _said_of(verb, does["verb"]) if does else ""
    if not does or not said:
        return None
    return wh, f"{who} {does['how'] or ''}{said}{does['what']}"


def _done(asked: str) -> tuple[str, str] | None:
    """Who does it and what: "river" and "separates Ulm from Tal" of "Which river separates Ulm from Tal"."""
    first, *words = asked.split()
    if first.lower() not in ("which", "what") or re.search(r"\b(?:do|does|did)\b", asked):
        return None
    for index, (word, after) in enumerate(itertools.pairwise(words[:10])):
        noun, rest = " ".join(words[:index]), " ".join(words[index:])
        if re.fullmatch(AUXILIARY, word):
            return (noun, rest) if index and re.fullmatch(BE, word) and _DOES.match(rest, len(word) + 1) else None
        how = word.endswith("ly") or word == "first"
        if index and is_finite(after if how else word):
            return None if re.fullmatch(AUXILIARY, after) else (noun, rest)
    return None


def _counted(answer: str, noun: str) -> str:
    """ "12 boats" of "12" and "boats", and of "12 boats" too."""
    noun = noun.strip()
    return answer if noun.split()[-1].lower() in answer.lower().split() else f"{answer} {noun}"


def _ends_with_verb(asked: str, *more: str) -> bool:
    """Whether nothing stands after the verb, so that what it is said of can; not "have" and "do", unless in `more`."""
    last = asked.rsplit(maxsplit=1)[-1]
    return last in _VERBS - {"have", "do"} or last in more or bool(_PARTICIPLE.fullmatch(last))


def _tie_of_time(answer: str) -> str:
    """What ties a time to "Ann was born": "in" 1967, "on" 4 May, "at" noon; "" if that cannot be said."""
    answer = answer.strip(" .")
    kind = time_in(answer)
    if kind:
        return "in" if kind == "year" else "on"
    if _WEEKDAY.match(answer):
        return "on"
    return "at" if _CLOCK.fullmatch(answer) else "in" if _MONTH_OF.fullmatch(answer) else ""


def time_in(answer: str) -> str:
    """What an answer gives of a time: its "year", its "date", or neither, ""."""
    return "year" if _YEAR.fullmatch(answer.strip(" .")) else "date" if _DATE.search(answer) else ""


def _past(verb: str) -> str:
    if verb in _IRREGULAR:
        return _IRREGULAR[verb]
    if re.fullmatch(r".*[^aeiou]y", verb):
        return f"{verb[:-1]}ied"
    return f"{verb}d" if verb.endswith("e") else f"{verb}ed"


def _present(verb: str) -> str:
    if verb == "have":
        return "has"
    if re.fullmatch(r".*[^aeiou]y", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if re.search(r"(?:s|x|z|ch|sh|o)$", verb) else f"{verb}s"


def is_finite(word: str) -> bool:
    """Whether a word can be a verb with a person or a tense: "wrote", "runs", "founded"."""
    return word in _FINITE or (word.endswith("ed") and len(word) > 4)


_FINITE = frozenset(_IRREGULAR.values()) | {_present(verb) for verb in _VERBS}
