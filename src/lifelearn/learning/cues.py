"""Is a user's message a correction? Evidence that can be read off the words, and the part that is new.

A correction denies or contradicts what the assistant said *and* gives what is right. Each sentence is
put into one of a few classes (a bare denial, a question, a request, talk about the user's own intent,
praise, a statement); a statement then collects evidence: a contrast ("X, not Y"), a denial before it,
a negation of the assistant's words, "should be". The weights were set by hand on conversations written
for this project and are checked on the detection bench. Pure text; no model.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

WORD = re.compile(r"[^\W_]+(?:['’.,:/-][^\W_]+)*|[$€£%]", re.UNICODE)

STOPWORDS = frozenset(
    """a an the this that these those it its it's he she they them his her their we you i me my your our us
    is are was were be been being am do does did done has have had having will would can could shall should may might must
    to of in on at by for from with about as into and or but so if then than too very just also only even
    not no nope yes yeah there here what which who whom whose when where why how per every each all any some
    well actually really please lol haha oh um hmm s t re ve ll d m don didn doesn isn wasn aren can't don't
    isn't wasn't aren't doesn't didn't won't you're i'm they're he's she's that's there's one""".split()
)

# A bare denial, at the start of a sentence. Some other languages' commonest ones are included.
DENIAL = re.compile(
    r"""^\W*(?:(?:ha)+h?|lol|hmm+|um+|uh|oh|ah|well|sorry|hey|hi|hold\son|wait|but|yeah,?\s+(?=no\b)|i'm\s+afraid|
          you'?re\s+close|good\s+(?:guess|try|attempt|job|work)|nice\s+try|great\s+job|very\s+good|
          (?:that'?s\s+)?close|almost|nearly)[\s,.!;:–—-]*""",
    re.VERBOSE | re.IGNORECASE,
)
DENIAL_WORD = re.compile(
    r"""^\W*(?:
        no+pe | nah | no+ (?!\s+(?:doubt|need|problem|worries|idea|one|more|longer|emojis|matter|way\s+to)\b) | wrong | incorrect | false | untrue | not\s+(?:quite|exactly|really|true|right|correct|so)
      | (?:that|this|it|which|your\s+\w+|the\s+\w+)\s*(?:is|'s|’s|was|isn['’]?t|wasn['’]?t|are|seems|looks)\s*
            (?:not|n['’]t)?\s*(?:quite|entirely|completely|exactly|totally|really|just|plain|still|also|all)?\s*
            (?:wrong|incorrect|false|untrue|mistaken|outdated|inaccurate|right|correct|true|accurate|a\s+mistake|an\s+error|it)
      | (?:i\s+(?:think|believe|'m\s+afraid)\s+)?(?:you(?:\s+are|'re|’re|\s+were)|u\s+r)\s+(?:quite\s+|totally\s+|completely\s+)?(?:wrong|mistaken|incorrect|off|confus\w+|not\s+(?:right|correct))(?:\s+about\s+(?:that|this|it))?(?:\s+there)?
      | you(?:\s+have|'ve|’ve)?\s+(?:got|have|made|had)\s+(?:it|that|this|the\s+\w+|a|an|some|one)?\s*(?:\w+\s+)?(?:wrong|mistakes?|errors?)(?:\s+(?:here|there|up))?
      | actually | in\s+fact | correction | (?:small|slight|minor|one|a)\s+correction | on\s+the\s+contrary | mistake
      | nein | falsch | stimmt\s+nicht | non | c'est\s+faux | faux | incorrecto? | falso | sbagliato | errado | nee | fout | 不对 | 不是 | 错了 | いいえ | 違います | нет | неправильно
    )(?![\w'’])[\s,.!;:–—-]*""",
    re.VERBOSE | re.IGNORECASE,
)
INTENT = re.compile(
    r"""\b(?:i|we)\s*(?:'m|’m|am|was|were|'d|’d|would|had|have|'ve|'ll|will|only|just|actually|really|rather|don['’]?t|do\s+not|didn['’]?t|still)*\s*
        (?:meant?|ask(?:ed|ing)?|talk(?:ing|ed)|think(?:ing)\s+of|look(?:ing)?\s+for|typed?|wrote|want(?:ed|s)?|need(?:ed)?|like|love|hate|prefer|enjoy|wish|disagree|agree|hope|refer(?:ring|red)|intend(?:ed)?|misspelled|mistyped|forgot|expected|feel|guess|wonder|understand|trust|believe\s+you)\b
      | \bwhat\s+i\s+(?:mean|want|need|said|asked)\b | \bmy\s+(?:mistake|bad|question|point|fault|typo|taste|opinion|view|preference)\b
      | \bfor\s+(?:my|our|me|us)\b(?:\s+taste)? | \bin\s+my\s+(?:opinion|view|experience)\b | \bthank(?:s|\s+you) | \b(?:forget|ignore|never\s*mind)\s+(?:that|it|this|about)\b
      | \blet(?:'s|s|\s+us|\s+me)\b | \bit\s+would\s+be\s+(?:great|nice|good)\b""",
    re.VERBOSE | re.IGNORECASE,
)
REQUEST = re.compile(
    r"""^\W*(?:(?:so|and|then|now|but|ok(?:ay)?|well)[\s,]+)?(?:please|pls|kindly|can|could|would|will|try|check|double[- ]check|verify|look|re-?\w+|fix|write|use|make|give|tell|show|explain|list|think|analy[sz]e|add|remove|change|correct\s+(?:it|that|this|your)|do\s+(?:it|not|that|you)|don['’]?t\s+\w+\s+(?:me|it|that)|stop|start|go|keep|be|summari[sz]e|translate|shorten|include|put|answer|calculate|continue|read|try\s+again)\b""",
    re.IGNORECASE,
)
PRAISE = re.compile(
    r"""^\W*(?:(?:yes|yeah|yep|ok(?:ay)?|ah|oh|wow|cool|so)[\s,!.]+)*(?:perfect|great|excellent|fantastic|awesome|wonderful|brilliant|nice|good|super|correct|exactly|right|true|indeed|agreed|sure|yes|yeah|yep|thanks?|thank\s+you|no\s+(?:doubt|problem|worries|need)|you(?:'re|’re|\s+are|\s+were)\s+(?:right|correct|absolutely)|that(?:'s|’s|\s+is)\s+(?:right|correct|true|great|good|perfect|fine|what\s+i\s+\w+)|well\s+done|got\s+it|makes?\s+sense|i\s+see|fair)\b(?!\s+(?:answer|one|way|value|number|name|spelling|order|term|word)\b)""",
    re.IGNORECASE,
)
HYPOTHETICAL = re.compile(
    r"\b(?:imagine|suppose|pretend|let['’]?s\s+say|what\s+if|hypothetically|fantasy|in\s+my\s+(?:world|story|novel|game|fantasy)|fictional\w*|from\s+(?:next|now|tomorrow)|starting\s+(?:next|tomorrow)|next\s+(?:week|month|year)|in\s+the\s+future|going\s+forward)\b",
    re.IGNORECASE,
)
OPINION = re.compile(
    r"""\b(?:i\s+(?:think|believe|feel|guess|find|suppose|doubt|don['’]?t\s+(?:think|believe|know))|imo|imho|a\s+feeling|might\s+(?:not\s+)?be|may\s+(?:not\s+)?be|maybe|perhaps|not\s+sure|sounds?\s+(?:\w+\s+)?(?:wrong|off|right|too|like)|seems?|too\s+\w+|overdoing|rip[- ]?off|boring|ugly|beautiful|stupid|awful|terrible|lovely|cute|(?:that|this)\s+(?:good|bad))\b""",
    re.IGNORECASE,
)
ADDITION = re.compile(r"^\W*(?:and|also|plus|besides|additionally|by\s+the\s+way|btw|fun\s+fact)\b|\b(?:as\s+well|too)\W*$", re.IGNORECASE)
CONTRAST = re.compile(
    r"""(?P<right>.+?)[\s,;:–—-]+(?:and\s+|but\s+)?(?:not|rather\s+than|instead\s+of|in\s+place\s+of|and\s+never|never)\s+(?P<wrong>[^,.;!?]+)""",
    re.IGNORECASE,
)
NOT_BUT = re.compile(
    r"\b(?:not|n['’]t)\s+(?P<wrong>[^,.;!?]+?)[\s,;–—-]+(?:but|it(?:'s|’s|\s+is)|rather|instead)\s+(?P<right>[^,.;!?]+)", re.IGNORECASE
)
ASSERTS = re.compile(
    r"""\b(?:should\s+(?:be|have\s+been|say|read)|must\s+be|has\s+to\s+be|ought\s+to|(?:right|correct|real|actual|proper|true)\s+(?:\w+\s+){0,2}(?:is|are|was|would)|the\s+answer\s+is|stands\s+for|is\s+(?:called|named|spelled|actually|really|just|only)|are\s+(?:actually|really)|was\s+(?:actually|really)|it(?:'s|’s|\s+is|\s+was)|they(?:'re|’re|\s+are|\s+were)|we\s+(?:have|use|get|are|do))\b""",
    re.IGNORECASE,
)
NEGATION = re.compile(
    r"\b(?:not|never|no|nothing|none|nobody|cannot|impossible|illegal|invalid|only|without)\b|n['’]t\b|\b(?:cant|dont|isnt|doesnt|wasnt|didnt|wont|its\s+not)\b",
    re.IGNORECASE,
)
SENTENCE = re.compile(r"(?<=[.!?。！？])[\s]+(?=\S)|\n+")
QUOTED = re.compile(r"[\"“«][^\"”»]{4,}[\"”»]")


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a correction.

    score: sum of the weights; at or above `THRESHOLD` it is a correction.
    statement: the sentences that say what is right, without the denial; "" if there are none.
    reasons: the names of the cues found, in the order of finding.
    """

    score: float
    statement: str
    reasons: tuple[str, ...]


THRESHOLD = 2.0


def normalise(text: str) -> str:
    """Case-folded words with single spaces and without punctuation: the form in which texts are compared."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    return " ".join(re.findall(r"[^\W_]+", folded))


def content_words(text: str) -> list[str]:
    """The words that carry meaning, case-folded, in order."""
    words = (w.casefold().replace("’", "'") for w in WORD.findall(text))
    return [w for w in words if w not in STOPWORDS]


def stem(word: str) -> str:
    """A crude stem, enough to match 'works' with 'worked' and 'tests' with 'test'."""
    for suffix in ("ations", "ation", "ingly", "edly", "ings", "ing", "ies", "ied", "ers", "ed", "es", "ly", "er", "s", "e", "y"):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


def stems(text: str) -> set[str]:
    return {stem(word) for word in content_words(text)}


def strip_denial(sentence: str) -> tuple[str, bool]:
    """The sentence without the denial that opens it, and whether there was one."""
    denied = False
    for _ in range(4):
        for pattern, denies in ((DENIAL, False), (DENIAL_WORD, True)):
            found = pattern.match(sentence)
            if found and found.end():
                sentence, denied = sentence[found.end() :], denied or denies
                break
        else:
            break
    return sentence.strip(), denied


def read_cues(message: str, assistant: str, question: str = "") -> Evidence:
    """Weighs the cues in `message`, given what the assistant said before and the question it answered."""
    message = unicodedata.normalize("NFKC", message).replace("’", "'").strip()
    bare = message.strip(" .!?")
    if QUOTED.fullmatch(bare) or (QUOTED.search(message) and message.endswith("?")):
        return Evidence(-2.0, "", ("quoted text",))
    said, asked = stems(assistant), stems(question)
    score, reasons, statements, denied_before = 0.0, [], [], False
    praised = intent = False
    for raw in SENTENCE.split(message):
        sentence, denied = strip_denial(raw.strip())
        if denied:
            denied_before = True
        if not sentence or not normalise(sentence):
            continue
        if PRAISE.match(raw.strip()) and not re.search(r"\bbut\b", raw, re.I):
            praised = True
            continue
        if re.search(r"\bbut\b", raw, re.I) and PRAISE.match(raw.strip()):
            sentence = re.split(r"\bbut\b", raw, maxsplit=1, flags=re.I)[1].strip(" ,")
        if sentence.endswith("?"):
            reasons.append("question")
            score -= 0.5
            continue
        if HYPOTHETICAL.search(sentence):
            reasons.append("hypothetical or future")
            score -= 2.0
            continue
        words = {stem(w) for w in content_words(sentence)}
        contrast = CONTRAST.match(sentence) or NOT_BUT.search(sentence)
        wrong_said = bool(contrast and stems(contrast["wrong"]) & said)
        if INTENT.search(sentence) and not re.search(r"\bonly said\b", sentence):
            intent = True
            reasons.append("own intent")
            continue
        if REQUEST.match(sentence) and not contrast:
            reasons.append("request")
            continue
        new = words - said - asked
        shared = words & (said | asked)
        weight = 0.0
        if contrast and (stems(contrast["right"]) or NEGATION.search(contrast["wrong"])):
            weight += 2.5 if wrong_said else 1.5
            reasons.append("contrast")
        if denied and words:
            weight += 2.0 if new or ASSERTS.search(sentence) else 1.0
            reasons.append("denial")
        elif denied_before and words:
            weight += 1.5
            reasons.append("denial before")
        if ASSERTS.search(sentence):
            weight += 0.5
            reasons.append("asserts")
        if re.search(r"\b(?:should (?:be|have|say)|must be)\b", sentence, re.I):
            weight += 1.5
            reasons.append("should be")
        if NEGATION.search(sentence) and shared and len(words) >= 2:
            weight += 1.25
            reasons.append("negates what was said")
        if re.search(r"\b(?:your?|you'?(?:re|ve))\b", sentence, re.I) and shared and new:
            weight += 0.75
            reasons.append("about the assistant's answer")
        if shared and new:
            weight += 0.75
            reasons.append("same subject, new content")
        if OPINION.search(sentence):
            weight -= 1.5
            reasons.append("opinion or doubt")
        if ADDITION.search(sentence):
            weight -= 1.5
            reasons.append("addition")
        if not (new or contrast or (NEGATION.search(sentence) and len(words) >= 2) or (denied and words)):
            weight -= 1.5
        if weight > 0:
            statements.append(sentence)
        score += weight
    if praised:
        score -= 1.5
        reasons.append("praise")
    if intent:
        score -= 1.5
    if not statements:
        score = min(score, 0.0)
    return Evidence(score, " ".join(statements), tuple(reasons))
