"""A message cut into sentences, and each without what opens it: interjections, faint praise, a denial."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from lifelearn.learning.author.english.reading import phrases
from lifelearn.learning.words import clean, normalise, stems

SENTENCE_LIMIT = 600

SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=\S)|(?<=[。！？])|\n+")
_QUOTE = re.compile(r'"[^"\n]{1,400}"|(?<!\w)\'[^\'\n]{12,400}\'(?!\w)')
_BUT = phrases.pattern(r"[\s,;.]*\bbut\b[\s,]*")

# What people say before they come to the point.
_OPENER = phrases.pattern(
    r"""\W*(?:(?:ha)+h?|lol|hm+|um+|uh|oh|ah|oops|well|so|sorry|hey|hi|hold\s+on|wait|but|again|ok(?:ay)?|look|
        however|
        i'm\s+afraid|i\s+am\s+sorry|(?:yeah|yes),?\s+(?=no\b|but\b)|afraid|umm|
        (?:(?:i'm|i\s+am)\s+)?(?:pretty|quite|fairly|very|rather|absolutely|almost|100%)\s+(?:sure|certain)
            (?:\s+that)?|
        (?:just\s+)?(?:fyi|for\s+(?:your\s+information|(?:future\s+)?reference|the\s+record|next\s+time)|
            so\s+(?:that\s+)?you\s+know|to\s+be\s+(?:clear|precise|exact))|
        (?:i\s+think\s+)?you(?:'ll|\s+will)\s+find(?:\s+that)?|
        (?:every|any)(?:\s?(?:body|one)|\s+\w+)\s+knows(?:\s+that(?=\s+(?:it|that|this|he|she|they)\b))?|
        seriously|come\s+on|tried\s+(?:it|that),?\s+(?:nothing|no\s+luck|didn't\s+work)|
        please\s+(?:note|be\s+aware|remember)(?:\s+that|[:,])|
        now(?=\s+(?:it|that|they|he|she|we)\b))(?![\w'])[\s,.!;:–—-]*"""
)
# What people ask for after having said what is right.
_CLOSER = phrases.pattern(
    r"""(?<![\s,.;:–—-])[\s,.;:–—-]+(?:(?:so|and)\s+)?(?:please\s+)?(?:remember|note|learn|save|keep\s+in\s+mind)
        (?:\s+(?:that|this|it))?(?:\s+(?:please|for\s+(?:next\s+time|the\s+future)|from\s+now\s+on))?\W*$
      | (?<![\s,.;:–—-])[\s,.;:–—-]+(?:fyi|for\s+(?:your\s+information|(?:future\s+)?reference|the\s+record))\W*$"""
)

# Faint praise before a correction, as teachers give it.
CLOSE = phrases.pattern(
    r"""\W*(?:(?:that(?:'s|\s+is|\s+was)|you(?:'re|\s+are|\s+were)|it's)\s+)?(?:very\s+|so\s+|really\s+|pretty\s+)?
        (?:close|almost(?:\s+(?:right|correct|there))?|nearly(?:\s+(?:right|correct|there))?|
           (?:good|nice|great)\s+(?:guess|try|attempt|start|effort))(?![\w'])[\s,.!;:–—-]*"""
)

# A denial that opens a sentence. The commonest ones of some other languages are included.
_DENIAL = phrases.pattern(
    r"""\W*(?:
        no+pe | nah | no+ (?!\s+(?:doubt|need|problems?|worries|idea|one|more|longer|emojis?|matter|luck|further|
            way\s+to|time|thanks?|thank\s+you|wonder|biggie|other)\b)
      | (?:no\s+way) | wrong(?!\s+\w+\s+\w) | incorrect | false | untrue | not\s+(?:quite|exactly|really|true|right|
      correct|so)
      | (?:that|this|it|which|your\s+\w+|the\s+\w+)\s*(?:'s|is|was|isn't|wasn't|are|seems|looks)\s*
            (?:not\s+|n't\s+)?(?:quite\s+|entirely\s+|completely\s+|exactly\s+|totally\s+|really\s+|just\s+|
            plain\s+|still\s+|also\s+|all\s+)?
            (?:wrong|incorrect|false|untrue|mistaken|outdated|out\s+of\s+date|inaccurate|a\s+mistake|an\s+error)
      | (?:that|this|it|which|your\s+\w+|the\s+\w+)\s*(?:isn't|wasn't|'s\s+not|is\s+not|was\s+not|are\s+not|aren't|
      ain't)\s+
            (?:quite\s+|entirely\s+|completely\s+|exactly\s+|totally\s+|really\s+)?(?:right|correct|true|accurate|
            so|it|the\s+case)
      | (?:i\s+(?:think|believe)\s+)?(?:you(?:\s+are|'re|\s+were)|u\s+r)\s+(?:quite\s+|totally\s+|completely\s+)?
            (?:wrong|mistaken|incorrect|off|confus\w+|not\s+(?:right|correct))(?:\s+about\s+(?:that|this|
            it))?(?:\s+there)?
      | you(?:\s+have|'ve)?\s+(?:got|have|made|had)\s+(?:it|that|this|the\s+\w+|a|an|some|
      one)?\s*(?:\w+\s+)?(?:wrong|mistakes?|errors?)
            (?:\s+(?:here|there|up))?
      | (?:please\s+)?(?:check|look|think|count|read|calculate)(?:\s+(?:it|that))?\s+(?:it\s+)?again(?=\s*[,;:–—-])
      | (?:that|this|it)\s+(?:can't|cannot|can\s+not|couldn't)\s+be(?:\s+(?:right|correct|true|it))?
      | (?:that(?:'s|\s+is|\s+was)|it(?:'s|\s+is))\s+(?:way\s+|much\s+|far\s+|a\s+bit\s+)?too\s+\w+(?=\s*[,;:–—-])
      | (?:that|it|this)\s+(?:was|used\s+to\s+be)\s+(?:true\s+|so\s+|the\s+case\s+)?(?:last\s+\w+|before|then|once|
            years?\s+ago|previously|formerly|in\s+the\s+past|a\s+(?:while|year|long\s+time)\s+ago|
            until\s+(?:\w+\s+)?\w+|the\s+(?:old|former|previous)\s+\w+)(?=\s*[,.!;:–—-])
      | actually | in\s+fact | correction | (?:small|slight|minor|one|a)\s+correction | on\s+the\s+contrary |
      mistake | yes\s+(?:it|they|he|she|you|we|there)(?=\s+(?:is|are|do|does|did|was|were|can|has|have)\b)
      | nein | falsch | stimmt\s+nicht | non | c'est\s+faux | faux | incorrecto? | falso | sbagliato | errado |
      nee | fout
      | 不对 | 不是 | 错了 | いいえ | 違います | нет | неправильно
    )(?![\w'])[\s,.!;:–—、。，-]*"""
)


def sentences(message: str) -> Iterator[tuple[str, bool]]:
    """The sentences of a message; a "but" after praise or agreement starts a new one, marked as conceded."""
    for raw in SENTENCE.split(message):
        sentence = raw.strip()[:SENTENCE_LIMIT]
        opening, *rest = _BUT.split(sentence, maxsplit=1)
        if (
            rest
            and rest[0]
            and opening
            and (phrases.PRAISE.match(opening) or CLOSE.match(opening) or phrases.AGREEMENT.search(opening))
        ):
            yield opening, False
            yield rest[0], True
        elif normalise(sentence):
            yield sentence, False


def strip_denial(sentence: str) -> tuple[str, bool]:
    """The sentence without the interjections and the denial that open it, and whether there was a denial."""
    denied = False
    for _ in range(5):
        found = _DENIAL.match(sentence)
        if found:
            denied = True
            keep = re.match(r"\W*yes\s+", found[0], re.IGNORECASE)  # "Yes it does" says something
            sentence = sentence[keep.end() if keep else found.end() :]
            continue
        found = _OPENER.match(sentence) or CLOSE.match(sentence)
        if not found or not found.end():
            break
        sentence = sentence[found.end() :]
    return _CLOSER.sub("", sentence).strip(), denied


def is_retry(message: str) -> bool:
    """Whether a message only rejects or doubts an answer ("No", "Try again", "Are you sure?"): the question stands."""
    text, denied = strip_denial(clean(message))
    if not normalise(text):
        return denied
    return not phrases.WH.search(text) and stems(text) <= phrases.META


def masked(message: str) -> tuple[str, list[str]]:
    """The message with its longer quotations replaced by placeholders: what is quoted, the user did not say."""
    quotes: list[str] = []

    def hide(found: re.Match[str]) -> str:
        if len(found[0].split()) < 3:
            return found[0]
        quotes.append(found[0])
        return f"quotation{len(quotes) - 1}"

    return _QUOTE.sub(hide, message), quotes


def unmasked(text: str, quotes: Sequence[str]) -> str:
    for number in reversed(range(len(quotes))):
        text = text.replace(f"quotation{number}", quotes[number])
    return text
