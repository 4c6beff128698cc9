"""Is a user's message a correction? Evidence that can be read off the words, and the part that is new.

A correction denies or contradicts what the assistant said *and* gives what is right. The message is cut into
sentences. A sentence that is no statement (a question, a request, praise, a bare denial, talk about the user's own
intent …) is set aside; each statement collects the weights of the cues that it shows (`CUES`: a contrast, a denial
before it, a negation of the assistant's words, another value than the assistant's …). The best statement, together
with what was set aside, is a first reading, its weights set by hand; weighing.py has the last word.

Pure text: it knows no model, no language but English (and the commonest denials of some others), and nothing of
the world, so it cannot tell who is right. To see what it reads:

    python -c "from lifelearn.learning.cues import *; print(read_cues('no, Lyon', 'In Paris.', 'Where is it?'))"
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from lifelearn.learning.states import NUMBER_WORDS, tokens_of
from lifelearn.learning.words import STOPWORDS, clean, listed, normalise, stem, stems

ASSISTANT_LIMIT = 20_000
ALIKE = 0.8  # share of letters in common, from which a word is another spelling
SENTENCE_LIMIT = 600

# At or above it a message is a correction.
THRESHOLD = 2.0


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.VERBOSE | re.IGNORECASE)


# ---------------------------------------------------------------------------------------------------------------------
# How a sentence opens

# What people say before they come to the point.
_OPENER = _pattern(
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
_CLOSER = _pattern(
    r"""(?<![\s,.;:–—-])[\s,.;:–—-]+(?:(?:so|and)\s+)?(?:please\s+)?(?:remember|note|learn|save|keep\s+in\s+mind)
        (?:\s+(?:that|this|it))?(?:\s+(?:please|for\s+(?:next\s+time|the\s+future)|from\s+now\s+on))?\W*$
      | (?<![\s,.;:–—-])[\s,.;:–—-]+(?:fyi|for\s+(?:your\s+information|(?:future\s+)?reference|the\s+record))\W*$"""
)

# Faint praise before a correction, as teachers give it.
_CLOSE = _pattern(
    r"""\W*(?:(?:that(?:'s|\s+is|\s+was)|you(?:'re|\s+are|\s+were)|it's)\s+)?(?:very\s+|so\s+|really\s+|pretty\s+)?
        (?:close|almost(?:\s+(?:right|correct|there))?|nearly(?:\s+(?:right|correct|there))?|
           (?:good|nice|great)\s+(?:guess|try|attempt|start|effort))(?![\w'])[\s,.!;:–—-]*"""
)

# A denial that opens a sentence. The commonest ones of some other languages are included.
_DENIAL = _pattern(
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
# "MIT is wrong, we use Apache": what it denies, and what it says.
_IS_WRONG = _pattern(
    r"""\W*(?P<what>\w[^,.;:!?]{0,60}?)\s+(?:is|was|are|were|isn't|wasn't)\s+(?:\w+\s+)?
        (?:wrong|incorrect|false|outdated|out\s+of\s+date|obsolete|right|correct|history|gone|the\s+old\s+\w+)
        \s*(?:[,;:–—-]+\s*(?P<right>\S.*)|[.!]*)$"""
)
# "actually" and "yes it does" oppose, but do not say by themselves that the assistant was wrong.
_SOFT_DENIAL = _pattern(r"\W*(?:actually|in\s+fact|yes)\b")


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
        found = _OPENER.match(sentence) or _CLOSE.match(sentence)
        if not found or not found.end():
            break
        sentence = sentence[found.end() :]
    return _CLOSER.sub("", sentence).strip(), denied


# ---------------------------------------------------------------------------------------------------------------------
# Sentences that state nothing about the assistant's answer

_AGREEMENT = _pattern(
    r"""\b(?:you(?:'re|\s+are|\s+were)\s+(?:absolutely\s+|totally\s+|completely\s+)?(?:right|correct)|
        i\s+was\s+wrong|i\s+stand\s+corrected|
        i\s+(?:didn't|did\s+not)\s+know|i\s+thought|i\s+knew|my\s+(?:mistake|bad|fault|typo)|correctly|
        (?:just\s+)?(?:kidding|joking)|makes?\s+sense|works?\s+(?:fine|now|well|great|perfectly)|
        (?:is|it's|that's)\s+(?:okay|ok|fine)|thanks?|thank\s+you|thx|good\s+to\s+know|well\s+done|congrat\w*)\b
      | ^\W*(?:(?:ah|oh|ok(?:ay)?|wow|cool|so|haha)[\s,!.]+)*(?:yes|yeah|yep|yup|exactly|correct|right|true|indeed|
      agreed|sure|perfect|ok(?:ay)?|
            i\s+see|got\s+it|fair\s+enough|no\s+(?:doubt|problems?|worries|need|wonder|further|thanks?|luck))\b
            (?!\s+(?:answer|one|way|value|number|name|spelling|order|term|word|but|it\s+\w+|they|there|he|
            she)\b)(?!,?\s*but\b)
      | ^\W*(?:that(?:'s|\s+is|\s+was)\s+(?:right|correct|true|good|great|perfect)) | \bnot\s+bad\b"""
)
_PRAISE = _pattern(
    r"""^\W*(?:(?:oh|ah|wow|that(?:'s|\s+is|\s+was)|it(?:'s|\s+is)|what\s+a|a|very|really|super|so)[\s,!]+)*
        (?:great|excellent|fantastic|awesome|wonderful|brilliant|nice|good|super|amazing|cool|lovely|interesting|
        funny|impressive)\b"""
)
_INTENT = _pattern(
    r"""\b(?:i|we)\s*(?:'m|am|was|were|'d|would|had|have|'ve|'ll|will|only|just|actually|really|rather|don't|
        do\s+not|didn't|did\s+not|still|should|\s)*\b
        (?:meant?|ask(?:ing)?|asked\s+(?:you\s+)?(?:for|about|to|what|who|where|when|which|how)|talking|thinking|thought|look(?:ing)?\s+for|typed?|
        wanna|wanted|referr(?:ing|ed)|refer|
           intend(?:ed)?|misspelled|mistyped|forgot|expected|wonder(?:ed|ing)?|curious|have\s+said|have\s+(?:asked|
           written)|want\s+to\s+know|hoping)\b
      | \b(?:what|which)\s+i\s+(?:mean|meant|want|need|asked|was)\b | \bmy\s+(?:question|request|point|intention)\b
      | \b(?:forget|ignore|never\s*mind)\s+(?:that|it|this|about|the)\b | \bit\s+would\s+be\s+(?:great|nice|good|
      better|cool)\b
      | ^\W*(?:not\s+\w+,\s+)?(?:the\s+one|the\s+ones|the\s+other)\b"""
)
_ATTITUDE = _pattern(
    r"""\b(?:i|we)\s*(?:'m|am|'d|would|do|don't|do\s+not|didn't|really|just|also|still|never|kinda|personally|
        actually|\s)*\b
        (?:like|love|hate|prefer|enjoy|wish|disagree|agree|hope|feel|trust|believe\s+you|care|disappointed|happy|
        sad|sure|glad|fan|interested|
           convinced|amazed|impressed|bored|tired\s+of|surprised|afraid|recommend)\b
      | \b(?:in\s+my\s+(?:\w+\s+)?(?:opinion|view|experience)|imo|imho|for\s+my\s+taste|my\s+(?:taste|favou?rite|
      opinion)|if\s+you\s+ask\s+me)\b
      | \bfor\s+(?:me|us)\W*(?:$|,) | \b(?:not\s+sure|not\s+convinced)\b"""
)
_REQUEST = _pattern(
    r"""\blet(?:'s|s|\s+us|\s+me)\b | ^\W*(?:(?:so|and|then|now|but|ok(?:ay)?|well|instead|rather)[\s,]+)*(?:
          (?:have|take)\s+another | please | pls | kindly | (?:can|could|would|will)\s+you | try | check |
          double[-\s]check | verify | look | re-?(?:do|write|read|check|calculate|state|phrase|think|consider|try|
          compute)
        | fix | write | make | give | tell | show | explain | list | think | analy[sz]e | add | remove |
        correct\s+(?:it|that|this|your) | do\s+(?:it|not|that|you)
        | don't | stop | start | go | keep | summari[sz]e | translate | shorten | include | put | answer |
        calculate | continue | read | move | schedule
        | draft | imagine | describe | compare | find | use | change | replace | order | sort | convert | select |
        group | generate | create | provide | count | return | rename | book | set | play
        )\b(?!\s+(?:is|are|was|must|should|needs?|has)\b) | \bplease\b | ^\W*(?:not\s+)?as\s+an?\s |
        ^\W*something\s+(?:more|less|else|with|about|like|\w+er)\b | \bagain\W*$ |
        ^\W*(?:any|an)other\b | ^\W*how\s+(?:to|do|can)\b"""
)
_STYLE = _pattern(
    r"""\b(?:formal|informal|short(?:er)?|long(?:er)?|simpl(?:e|er|y)|concise|detail(?:ed|s)?|friendl(?:y|ier)|
        polite|tone|style|emojis?|bullet\w*|numbered|rhymes?|
        chorus|verses?|paragraphs?|sentences?|exclamation|commas|words|cheerful|sad|funn(?:y|ier)|serious|creative|
        technical|academic|jargon|personal|catchy|boring|brighter|vivid|wording|phrasing|conclusion|introduction)\b"""
)
_CREATIVE = _pattern(
    r"""^\W*(?:(?:please|can\s+you|could\s+you|now)\s+)*(?:write|draft|compose|suggest|recommend|rewrite|
        summari[sz]e|invent|brainstorm|rephrase|shorten|design|propose|
        think\s+of|come\s+up|tell\s+me\s+a\s+(?:joke|story)|(?:give|list|name)\s+(?:me\s+)?(?:some|\w+\s+(?:ideas|
        names)))\b"""
)
_EXPLAIN = _pattern(r"^\W*(?:please\s+|(?:can|could)\s+you\s+)?(?:explain|describe)\b")
_HYPOTHETICAL = _pattern(
    r"""^\W*(?:imagine|suppose|supposing|pretend)\b | \b(?:pretend|let's\s+say|what\s+if|hypothetically|fantasy|
        fictional\w*|
        in\s+(?:my|this|our|the)\s+(?:\w+\s+)?(?:world|story|novel|game|play|book|dream)|
        (?:from|starting|until|as\s+of)\s+(?:next|tomorrow)|next\s+(?:week|month|year)|in\s+(?:the|
        a\s+few)\s+(?:future|days|weeks)|going\s+forward|any\s*time\s+soon)\b"""
)
_DOUBT = _pattern(
    r"""\b(?:i\s+(?:think|believe|guess|find|suppose|doubt|don't\s+(?:think|believe|know))|a\s+feeling|
        might\s+(?:not\s+)?be|may\s+(?:not\s+)?be|maybe|perhaps|
        sounds?\s+(?:\w+\s+)?(?:wrong|off|right|too|like)|seems?|probably|not\s+certain)\b"""
)
_EVALUATION = _pattern(
    r"""\b(?:too\s+\w+|overdoing|rip[-\s]?off|boring|ugly|beautiful|stupid|awful|terrible|horrible|lovely|cute|
        (?:that|this|so|pretty)\s+(?:good|bad)|idiot\w*|dumb\w*|useless|
        (?:much|far)\s+\w+er|nicer|worse|better|complicated|funny|scary|amazing|great|wonderful|helpful|annoying|
        overrated|underrated|delicious|disgusting|fun|unreliable|making\s+things\s+up|rude|crazy|
        weird|sucks?|cool)\b"""
)
_TROUBLE = _pattern(
    r"""\b(?:(?:doesn't|does\s+not|didn't|did\s+not|don't|won't|still\s+not|not)\s+(?:\w+\s+)?(?:work|compile|run|
        help|load|start)\w*|errors?\s+(?:message|in\s+line|\d|went)|
        \w+(?:error|exception)|exit\s+code|crash\w*|fails|failed\s+with|traceback|stack\s*trace|gave\s+me|gives\s+me|
        i\s+(?:get|got)\s+(?:an?|the|this)\s+(?:\w+\s+)?(?:errors?|exception|warning|output|message|result)|
        still\s+(?:broken|failing)|\*\*\*)"""
)
_THIRD_PARTY = _pattern(
    r"""^\W*mine\b|\bmy\s+(?:\w+\s+)?(?:mother|father|brother|sister|teacher|boss|friend|wife|husband|colleague|
        calculator|mum|mom|dad|son|daughter|doctor|professor)\b"""
)
_ADDITION = _pattern(
    r"""^\W*(?:now|next)\s+(?!it|that|they|we|he|she|the|you)|^\W*(?:and|also|plus|besides|additionally|then|by\s+the\s+way|btw|fun\s+fact)\b|\b(?:as\s+well|too)\W*$|
        ^\W*[\w'\s]{1,30}\balso\b"""
)
_SAID_BUT = _pattern(r"\byou\s+(?:\w+\s+)?(?:said|wrote|claimed|stated|told)\b.*\bbut\s+(?:then\s+)?(?:you|now)\b")

# Words by which one speaks about an answer without saying anything that it should have said.
_META = frozenset(
    stem(word)
    for word in listed(
        """wrong incorrect mistake mistaken error false true right correct accurate answer response result solution
        calculation reply reasoning previous last step final again try still yesterday today before time number there's
        think sure it'll definitely certainly believe know case same make doubt really thing look like sound quite"""
    )
)
_SOMETHING_IS_WRONG = _pattern(
    r"""\W*(?:(?:\w+\s+){0,4}(?:answer|words?|part|step|line|number|date|name|one|of\s+\w+\s+\w+|something|
        some\w*)\s+)(?:is|are|was|were|seems?|looks?|must\s+be)\s+(?:still\s+|also\s+)?
        (?:wrong|incorrect|off|missing|not\s+(?:right|correct|true))\W*$
      | \W*(?:there\s+(?:is|are|'s)|there's|you\s+have|you\s+made|i\s+see)\s+(?:still\s+)?(?:an?|some|one|\w+|
      a\s+number\s+of)\s+(?:\w+\s+)?(?:errors?|mistakes?)\b[^:]*$"""
)
_JUDGEMENT = _pattern(
    r"""\b(?:wrong|incorrect|mistaken?s?|errors?|false|not\s+(?:right|correct|true|what)|isn't|wasn't|aren't|
        weren't|not|n't|invalid|illegal|inaccurate)\b|n't\b"""
)


# ---------------------------------------------------------------------------------------------------------------------
# What a statement may show

_NEGATION = _pattern(
    r"""\b(?:not|never|no|nothing|none|nobody|cannot|impossible|illegal|invalid|only|without|neither|nor|
        by\s+no\s+means)\b|n't\b
      | \b(?:cant|dont|isnt|doesnt|wasnt|didnt|wont|arent)\b"""
)
_STRONG_NEGATION = _pattern(
    r"""\b(?:nothing\s+to\s+do\s+with|by\s+no\s+means|no\s+longer|not\s+any\s*more|any\s+more|anymore|not\s+(?:just|
        only|even|actually))\b
      | ^\W*(?:it|that|they|he|she|these|those|there)(?:'s|\s+is|\s+was|\s+are|'re|\s+were)?(?:\s+not|n't|\s+isn't|
      \s+aren't|\s+wasn't|\s+no)\b"""
)
_IT_IS_NOT = _pattern(r"\W*(?:it|that|they|these|those)(?:'s|\s+is|\s+was|\s+are|'re|\s+were)?(?:\s+not|n't)\b")
_YOUR_FALSE_CLAIM = _pattern(
    r"""\b(?!(?:i|we|he|she)\b)\w+\s+(?:can't|cannot|can\s+not|couldn't|may\s+not|aren't\s+allowed|
        are\s+not\s+allowed|no\s+longer)\b
      | \byou\s+(?:also\s+|still\s+|already\s+)?(?:don't|do\s+not|didn't|did\s+not|have\s+no|haven't|aren't|
      are\s+not|never)\b
      | \b(?:your|my)\s+\w+(?:\s+\w+)?\s+(?:is|are|was|has|does)(?:\s+not|n't|\s+already|\s+no\s+longer)\b
      | \byou\s+(?:are|have)\s+(?:already|in\s+check|still)\b | \bnot\s+allowed\s+to\b | \bthere(?:'s|\s+is|\s+are|
      \s+was)\s+(?:no|not)\b | \bthere\s+(?:isn't|aren't|wasn't)\b"""
)
_CONTRARY = _pattern(
    r"\b(?:(?:nothing|everything)\s+to\s+do\s+with|by\s+no\s+means|the\s+only\s+(?:time|way|reason|one))\b"
)
_I_AM_NOT = _pattern(
    r"^\W*(?:i\s+am|i'm|we\s+are|we're|i\s+was|i\s+wasn't|we\s+aren't|my\s+\w+\s+(?:is|was|are))\s*(?:not|n't)\b"
)
_I_DID_NOT = _pattern(
    r"""^\W*(?:i|we)\s*(?:did\s+not|didn't|never|only|haven't|have\s+not|have\s+never|do\s+not|don't|can|
        have\s+already|already|just)\s+(?:just\s+)?(?P<verb>\w+)"""
)
_SPEECH = _pattern(r"(?:said|say|told|tell|asked|ask|claim|claimed|mentioned|wrote|written)$")
_YOU_DO_NOT = _pattern(r"\byou\s+(?:don't|do\s+not|can't|cannot|didn't|never)\b")
_BLAME = _pattern(
    r"""\byou(?:'ve|\s+have)?\s+(?:just\s+|only\s+|also\s+)?(?:forgot(?:ten)?|miss(?:ed)?|left\s+out|omitted|
        skipped|mixed\s+up|confused?|are\s+confusing|
        multiplied|divided|added|subtracted|swapped|miscalculated|misread|misspelled|miscounted|
        made\s+an?\s+(?:illegal|invalid|wrong))\b
      | \b(?:wrong|illegal|invalid|impossible|mistake|incorrect)\b.{0,60}\b(?:because|since|as)\b |
      \bfollowing\s+(?:errors|mistakes)\b"""
)
_YOU_MEAN = _pattern(
    r"""^\W*(?:(?:i\s+(?:think|believe|guess)|surely|don't)\s+)?(?:you\s+)?(?:mean|meant|must\s+mean|
        probably\s+mean)\s+(?!(?:that|the\s+one|by)\b)\S"""
)
_PRESCRIBES = _pattern(
    r"""\b(?:should(?:n't)?\s+(?:\w+\s+)?(?:be|have|say|read|show|not|never|look)|should\s+\w+ |
        (?<!that\s)(?<!it\s)(?<!i\s)would\s+(?:be|have\s+been|mean) | must\s+\w+ |
        (?:has|have|needs?|had)\s+to\s+\w+ | ought\s+to)\b"""
)
_YOUR_THING = _pattern(r"\byour\s+(?!answer|response|explanation|help)\w")
_SHOULD_BE = _pattern(
    r"""\b(?:should(?:n't)?(?:\s+not)?\s+(?:\w+\s+)?(?:be|have\s+been|read)|must\s+be|must\s+have\s+been|
        ought\s+to\s+be)\b"""
)
_ACTUALLY = _pattern(r"(?<!\bi\s)(?<!\bi'm\s)\b(?:actually|in\s+fact|in\s+reality)\b")
_EMPHASIS = _pattern(
    r"^\W*(?:yes\s+)?(?:it|they|he|she|you|we|there)\s+(?:did|do|does|is|are|was|were|has|have|can)\s+(?!not\b)\w"
)
_BOARD = _pattern(
    r"""\b(?:king|queen|rook|bishop|knight|pawn|check(?:mate)?|square|castle|turn|move[sd]?|piece|white|black|
        [a-h][1-8]|pinned|capture[sd]?)\b"""
)
_CHESS = re.compile(r"\b(?:[KQRBN][a-h1-8]?x?[a-h][1-8]|\d+\.+\s*(?:[a-h][1-8]|[a-h]x[a-h][1-8]|O-O))")
_OWN_MOVE = re.compile(r"\W*(?:\d+\.+\s*)?(?:[KQRBN][a-h1-8]?x?[a-h][1-8]|O-O)(?!\w|\s+(?:is|was|isn't|wasn't|can't))")
_SOMEONE_DID = _pattern(
    r"^\W*(?!(?:it|he|she|they|you|i|we|that|this)\b)(?:[\w'.-]+\s+){1,4}(?:did|does|do|is|was|has)\W*$"
)
_OF_ONESELF = _pattern(r"^\W*(?:i|i'm|i've|i'll|my|me)\b")
_AUTHORITY = _pattern(
    r"""\b(?:wikipedia|google\w*|docs?|documentation|manual|question|problem|text|book|website|site|page|sources?|
        handbook|policy|contract|article|exercise|task|rules?|law|
        encyclop\w+|dictionary|report|specification|spec|readme|wiki|intranet|
        calendar)\b\s+(?:\w+\s+){0,2}?(?:says?|said|states?|mentions?|shows?|lists?|reads?|gives?|requires?|told)\b
      | \bthe\s+(?!one\b|other\b)\w+\s+(?:clearly\s+|also\s+)?(?:says|states|reads|shows|lists)\b
      | \baccording\s+to\b(?!\s+you)"""
)
_RECORD = _pattern(
    r"""\b(?:i|we)\s+(?:only|never|already|just|did|didn't|did\s+not|haven't|have\s+not|have\s+never|\s)*\s?
        (?:said|say|told|tell|asked|ask|claim(?:ed)?|mention(?:ed)?|wrote|called?|do\s+that)\b(?!\s+(?:about|for|
        you\s+to)\b)
      | \bmy\s+(?:\w+\s+)?(?:is|are|was)\b | \b(?:i\s+am|i'm|we\s+are|we're)\s+(?:not|no|a|an|the|from|in|playing|
      white|black|\d+)\b | \bi\s+live\b"""
)
_CORRECTS_NAME = _pattern(
    r"\b(?:stands?\s+for|is\s+(?:called|named|spelled|short\s+for)|are\s+called|means|calls?\s+(?:it|them))\b"
)
_REASON = _pattern(r"\b(?:because|since|due\s+to|so\s+(?:it|you|that|the))\b")
_COPULA = _pattern(
    r"""\b(?:is|are|was|were|'s|'re|has|have|costs?|gets?|takes?|stars?|lies|lives?|starts?|closes?|opens?|use[sd]?|
        runs?|equals|means?|calls?|gives?|makes?|made|wrote|did|been|handle[sd]?|uses|say|says|print[sd]?)\b|="""
)
_IT_IS = _pattern(
    r"""^\W*(?P<before>(?!i\b|my\b|if\b|when\b)[^,.;:?]{1,40},\s+)?(?:(?:i\s+think|i\s+believe)\s+)?(?:now\s+)?
        (?:it|ours|that|they|he|she|this|these|those|the\s+(?:right\s+|correct\s+|
        real\s+|actual\s+|true\s+)?(?:answer|result|one|total))(?:'s|\s+is|\s+was|'re|\s+are|\s+were|\s+must\s+be|
            's\s+been|\s+has\s+been|'d\s+be|\s+would\s+be)\s+(?!not\b)"""
)
_I_THINK_IT_IS = _pattern(
    r"^\W*i\s+(?:think|believe|guess)\s+(?:that\s+)?(?:it|they|he|she)(?:'s|\s+is|\s+was|\s+are|\s+were)\s+(?!not\b|a\b)\S"
)
_THAT_IS = _pattern(r"^\W*(?:that|this)(?:'s|\s+is|\s+was)\b")
_NEW_STATE = _pattern(
    r"""\b(?:old|former|previous|outdated|changed|stopped|stops|quit|ended|has\s+moved|moved\s+to|left|now|nowadays|these\s+days|any\s*more|
        no\s+longer|since)\b"""
)
_SWITCHED = _pattern(
    r"""\b(?:switched|moved|migrated|changed|went|upgraded|renamed)\s+(?:\w+\s+){0,2}?from\s+(?P<old>.{1,60}?)\s+to\s+\S
      | ^\W{0,5}(?P<replaced>\w.{0,60}?)\s+(?:was|were|has\s+been|have\s+been|got)\s+(?:replaced|succeeded|superseded|
        renamed)\b
      | \b(?:replaced|swapped|dropped|abandoned|retired)\s+(?P<dropped>.{1,60}?)\s+
        (?:with|by|for|in\s+favou?r\s+of)\s+\S"""
)
_CHANGED_TO = _pattern(
    r"^\W*(?:we|they)(?:'ve|\s+have)?\s+(?:\w+\s+)?\w{4,}ed\s+(?:it|them|that|this)\s+(?:\w+\s+)?(?:to|into)\s+\S"
)
_WITH_US = _pattern(
    r"""^\W*(?:(?:at|in|for|with|within|on)\s+(?:our|this|my)\s+(?:company|firm|team|office|department|organi[sz]ation|school|
        shop|group|place|project|case|plant|hospital|university)|with\s+us|over\s+here|around\s+here)\b"""
)
_IT_DOES = _pattern(r"^\W*(?:it|they|he|she|you|people)\s+(?:\w+ly\s+)?(?P<did>\w+)\s+\S")
_MAY_I_SAY = _pattern(
    r"""^\W*(?:(?:isn't|wasn't|aren't|weren't)\s+(?:it|that|this|he|she|they)|(?:is|was)\s+it\s+not)\s+(?P<value>[^?]{1,60})\?
      | ^\W*(?P<surely>[^,.?!]{1,40}),?\s+surely\s*\?"""
)
_NAME_FIRST = re.compile(r"^\W*(?!I\b)[A-Z][\w'.-]+(?:\s+[A-Z][\w'.-]+){0,3},\s+(?!please\b|and\b|what\b|how\b)[a-z]")
_CODE = re.compile(r"[A-Za-z]{0,4}[-.]?\d[\w.-]{0,8}[.!]?")
_RIGHT_IS = _pattern(
    r"""^\W*(?:the\s+)?(?:right|correct|real|actual|true|proper)\s+(?:answer|one|value|number|name|spelling|form|order|word|version)\s*
        (?:is|was|:|would\s+be)"""
)
_WORKS = _pattern(
    r"^\W*\S+(?:\s+\S+){0,4}\s+(?:does\s+(?:the\s+job|it|the\s+trick)|is\s+(?:the\s+right|correct)|works)\b"
)
_ONLY = _pattern(r"^\W*(?:only|except|but\s+not|unless|just)\b")
_WENT_TO = _pattern(
    r"\b(?:went|moved|switched|changed|migrated|passed|transferred|goes|go|handed\s+(?:it\s+)?over|gone)\s+(?:over\s+)?to\s+(?!the\s+(?:shop|doctor))\S"
)
_DOES_IT = re.compile(
    r"^\W*(?:[A-Z][\w.'-]*(?:\s+(?:(?:and|of|de|van|von)\s+)?[A-Z][\w.'-]*){0,4}|(?:[Tt]he|[Oo]ur|[Aa]n?)(?:\s+\w+){1,4}?)"
    r"\s+(?P<did>[a-z]+)\s+(?:it|that|this|them)\b"
)
_NO_VALUE = _pattern(
    r"^\W*(?:it|that|they)(?:'s|\s+is|\s+was|'re|\s+are|\s+were)\s+(?:for|to|from|with|about)\s+(?:me|my|us)\b"
)
_NOBODY = _pattern(
    r"""^\W*(?:it|that|they|he|she)(?:'s|\s+is|\s+was|'re|\s+are|\s+were)\s+(?:down|up|broken|over|for|in|on|off|out|too|very|
        still|again|gone|so|at|away|ill|sick|back)\b"""
)
_PARTS = re.compile(r",\s|;\s|\s(?:since|because|as)\s", re.IGNORECASE)
_NOT = _pattern(r"n't\b|\b(?:not|never|no)\b")
_OF_YOU = _pattern(r"\b(?:are|were|do|did|have|can|would)\s+you\b(?!\s+(?:know|tell|say|think|remember))|\byour\b")
_COMPUTES = _pattern(r"\b(?:ago|later|from\s+now|in\s+total|altogether)\b")
_THAT_IS_SO = _pattern(
    r"""^\W*(?:that|it|he|she|they)(?:'s|\s+is|\s+was|'re|\s+are|\s+were)\s+(?:so\s+|very\s+|quite\s+|really\s+|pretty\s+|
        such\s+|rather\s+)?(?:long|early|late|far|a\s+lot|lots|much|little|few|cheap|expensive|fast|slow|big|small|high|low|
        quick|soon|nice|kind|friendly|smart|clever|young|old|new|busy|strange|odd|sick|here|gone|close|near|hard|easy|
        true|important|famous|dead|tall|short)\b(?:\s+(?:ago|time|way|too|then|now|indeed))?\W*$
      | ^\W*(?:that|it)(?:'s|\s+is|\s+was)\s+(?:\w+\s+)?(?:\w+er|more\s+\w+|less\s+\w+|less|more)\s+than\b"""
)
_DECLINED = _pattern(
    r"""\b(?:as\s+an\s+ai|(?:i|we)\s*(?:'m|\s+am)?\s*(?:do\s+not|don't|cannot|can't|couldn't|am\s+not|not|am\s+unable|unable)\s+
        (?:\w+\s+)?(?:know|have|able|sure|aware|access|find|tell|see|provide|answer|familiar|certain)|
        no\s+(?:information|data|access|record|idea|knowledge)|(?:not|isn't)\s+(?:publicly\s+)?(?:available|known|specified|
        provided|mentioned))\b"""
)
_AT_THE_MOMENT = _pattern(
    r"^\W*it(?:'s|\s+is)\b.*\bhere\W*$|\b(?:right\s+now|today|tonight|at\s+the\s+moment|outside|tomorrow|yesterday)\b"
)
_WE = _pattern(
    r"^\W*(?:we|our|ours)\b(?!\s+(?:are|were|had|have(?!\s+(?:it|them))|want|need|will|would|should|could|might)\b|')"
)
_THERE_ARE = _pattern(r"^\W*there(?:'s|\s+is|\s+are|\s+was|\s+were)\s+(?!no\b)")
_ELLIPSIS = _pattern(
    r"""^\W*(?:yes\s+)?(?:it|that|they|he|she|you|there|we|i|this)\s*(?:does|is|do|did|can|has|have|was|are|were|
        will|am|would|should|could)(?:\s*not|n't)?\W*$"""
)
_STAR = re.compile(r"^\s*\*\s?\w[^*\n]{0,60}$|^[^*\n]{1,60}\w\*\s*$")
_WH = _pattern(
    r"\b(?:what|which|who|whose|whom|when|where|how\s+(?:many|much|long|old|far|tall|high|deep|big|often))\b"
)
_NAMED_VALUE = re.compile(r"^\W*\w+(?:'s|\s+is|\s+was)\s+[A-Z]")
_WHO = _pattern(r"^\W*who(?:m|se)?\b")
_HOW = _pattern(r"^\W*(?:how\s+(?:do|does|did|can|should|must)|what\s+(?:do|should|must))\b")
_YES_NO = _pattern(r"^\W*(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am)\b")
_VALUE_TASK = _pattern(
    r"^\W*(?:please\s+)?(?:name|give|tell\s+me|state|calculate|compute|solve|translate|add|convert|try|how\s+do)\b"
)
# "and the minimum version?", "17 * 23?", "German for butterfly?"
_ELLIPTIC = _pattern(
    r"^\W*(?!(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am|write|draft|please)\b)[^?]{2,60}\?\W*$"
)
_SUBJECT = _pattern(r"^\W*(?:the\s+|an?\s+)?(?P<subject>[\w-]+(?:\s[\w-]+)?)\s+(?:is|are|was|were|means)\b")
_TASTE = _pattern(r"\b(?:you|your|favou?rite|recommend|suggest|best|nice|good)\b")
_ASKS = _pattern(
    r"""\W*(?:(?:and|so|but|or|oh|cool|great|well|ok(?:ay)?)[\s,!]+)*(?:what|which|who|whose|when|where|why|how|
        for\s+(?:what|how)|is|are|was|were|do|does|did|can|could|
        has|have|had|will|would|should|shall|am|any|ever|you|isn't|aren't|don't|doesn't|didn't)\b |
        (?:\S+\s+){0,5}\S+$"""
)
_OFFER = _pattern(
    r"""\b(?:anything\s+else|would\s+you\s+like|do\s+you\s+want\s+me|can\s+i\s+help|other\s+questions|
        more\s+questions|let\s+me\s+know|how\s+can\s+i)\b"""
)
_WISH = _pattern(r"\b(?:i\s+hope|hope\s+(?:it|you)|good\s+luck|i'm\s+sorry|i\s+am\s+sorry|sorry\s+to\s+hear)\b")

_CONTRAST_MARK = _pattern(
    r"""(?:^|[\s,;:(–—-])(?P<mark>(?:(?:and\s+|but\s+)?not|and\s+never|rather\s+than|instead\s+of|in\s+place\s+of|
        as\s+opposed\s+to|versus))(?=\s)"""
)
_CLAUSE_END = re.compile(r"[.;!?,\n()]")
_NOT_BUT = _pattern(
    r"""(?:\bnot|n't)\s+(?P<wrong>[^,.;!?]{1,80})[\s,;–—.-]+(?:but|it's|it\s+is|they're|rather|
        instead)\s+(?P<right>[^,.;!?]{1,120})"""
)
_VERB_BEFORE_NOT = _pattern(
    r"""\b(?:is|are|was|were|(?<!\d\s)am|be|do|does|did|has|have|had|can|could|will|would|should|may|might|must|but|
        's|'re|'m)$"""
)

_QUANTITY = _pattern(
    r"""\b(?:when|how\s+(?:many|much|long|old|far|tall|high|deep|big|often|soon|fast))\b
      | \d\s*(?:[-+*/×%]|plus|minus|times|divided)
      | \b(?:what|which)\b.{0,40}?\b(?:time|date|day|year|month|number|speed|size|percentage|price|amount|port|floor|
        limit|fee|cost|allowance|period|window|height|length|age|distance|temperature|point|rate|deadline|budget|score|total|room)\b"""
)
_AMOUNT = _pattern(
    rf"""\b(?:\d+(?:[.,:]\d+)*(?=(?:st|nd|rd|th|am|pm|h|k|%)?\b)
      | (?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty-[a-z]+|{"|".join(NUMBER_WORDS)}|
        thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|
        dozen|half|first|second|third|fourth|fifth|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|noon|midnight|
        hourly|daily|nightly|weekly|monthly|quarterly|yearly|annually|every\s+\w+|
        january|february|march|april|june|july|august|september|october|november|december)\b)"""
)


def amounts(text: str) -> frozenset[str]:
    """Its numbers, days and months; number words as figures."""
    found = (match[0].casefold() for match in _AMOUNT.finditer(text))
    return frozenset(str(NUMBER_WORDS.get(word, word)) for word in found)


_SQUARE = re.compile(r"(?<=[a-z])[a-h][1-8]\b")  # "Qd8" speaks of d8
_NUMBER = re.compile(r"\d")


@dataclass(frozen=True)
class Contrast:
    """ "X, not Y": what is right, what is wrong. Each is a part of the sentence; `right` may be a whole clause."""

    right: str
    wrong: str


def contrast_in(sentence: str) -> Contrast | None:
    """The contrast that a sentence draws, if it draws one: "X, not Y", "X instead of Y", "not Y but X"."""
    for found in _CONTRAST_MARK.finditer(sentence):
        right, rest = sentence[: found.start()].strip(" ,;:–—-("), sentence[found.end() :].strip()
        wrong = _CLAUSE_END.split(rest, maxsplit=1)[0].strip()
        if _VERB_BEFORE_NOT.search(right) and found["mark"].casefold().endswith("not"):
            continue  # "is not Y" is a plain negation
        if wrong and (stems(right) - _META or _NUMBER.search(right)):
            return Contrast(right, wrong)
    found_but = _NOT_BUT.search(sentence)
    if found_but and stems(found_but["right"]) and not _NEGATION.search(found_but["right"]):
        return Contrast(found_but["right"].strip(), found_but["wrong"].strip())
    return None


# ---------------------------------------------------------------------------------------------------------------------
# Cues


@dataclass(frozen=True)
class Context:
    """What the message answers: the stems and features of the assistant's turn and of the question before it."""

    question: str
    assistant: str
    asked: frozenset[str]
    said: frozenset[str]
    wh: bool
    factual: bool  # the question asks for a value, in whatever form
    how: bool  # it asks for a way to do something
    yes_no: bool
    quantity: bool  # it asks for a number or a time
    board: bool  # a game of chess is on
    creative: bool
    explains: bool
    asks_back: bool  # the assistant's turn ends in a question to the user
    only_asks: bool  # … and it states nothing else
    declined: bool  # it says that it doesn't know
    wishes: bool

    @property
    def value(self) -> frozenset[str]:
        """What the assistant said beside the question's own words."""
        return self.said - self.asked

    @classmethod
    def of(cls, question: str, assistant: str) -> Context:
        question, assistant = clean(question, ASSISTANT_LIMIT), clean(assistant, ASSISTANT_LIMIT)
        parts = [part.strip() for part in _SENTENCE.split(assistant) if normalise(part)]
        last = parts[-1] if parts else ""
        asks = last.rstrip(" \"')").endswith("?") and bool(_ASKS.match(last)) and not _OFFER.search(last)
        return cls(
            question=question,
            assistant=assistant,
            asked=frozenset(stems(question)),
            said=frozenset(stems(assistant) | set(_SQUARE.findall(assistant.casefold()))),
            wh=bool(_WH.search(question[:400])),
            factual=bool(_WH.search(question[:400]) or _VALUE_TASK.match(question) or _ELLIPTIC.match(question)),
            how=bool(_HOW.match(question)),
            yes_no=bool(_YES_NO.match(question)),
            quantity=bool(_QUANTITY.search(question[:400])),
            board=bool(_CHESS.search(assistant) or _CHESS.search(question)),
            creative=bool(_CREATIVE.match(question)),
            explains=bool(_EXPLAIN.match(question)),
            asks_back=asks,
            only_asks=asks and sum(not part.endswith(("?", "!")) for part in parts) == 0,
            declined=bool(_DECLINED.search(assistant[:300])),
            wishes=bool(_WISH.search(assistant[:300])),
        )


@dataclass(frozen=True)
class Statement:
    """One sentence of the message, and how it stands to what was said before."""

    text: str  # without the interjections and the denial that open it
    denied: bool  # a denial opens it
    softly: bool  # … but only "actually"
    after_denial: bool  # an earlier sentence was a denial
    after_placing: bool  # an earlier one said what the assistant's answer is instead
    after_request: bool  # it explains a request or a question before it
    conceded: bool  # it follows faint praise: "Good guess, but …"
    stems: frozenset[str]
    contrast: Contrast | None
    context: Context

    @property
    def new(self) -> frozenset[str]:
        return self.stems - self.context.said - self.context.asked - _META

    @property
    def shared(self) -> frozenset[str]:
        return self.stems & (self.context.said | self.context.asked)

    @property
    def wrong_was_said(self) -> bool:
        return self.contrast is not None and bool(stems(self.contrast.wrong) & self.context.said)

    def has(self, pattern: re.Pattern[str]) -> bool:
        return bool(pattern.search(self.text))

    def has_in_prose(self, pattern: re.Pattern[str]) -> bool:
        """Whether it has the pattern, and not within a name: "fun", but not "It should be Fun Boy Three"."""
        return any(
            not found[0][0].isupper() or (found.start() == 0 and not self.text[found.end() :].lstrip()[:1].isupper())
            for found in pattern.finditer(self.text)
        )

    @property
    def other_value(self) -> bool:
        """It restates the question's or answer's subject, or "it", with a value that the assistant did not give."""
        if (
            not self.new
            or len(self.stems) > 14
            or not (self.has(_COPULA) or self.has(_SOMEONE_DID))
            or (_NEGATION.search(_PARTS.split(self.text)[0]) and not self.contrast)
        ):
            return False
        if self.context.wh and self.has(_SOMEONE_DID):
            return True
        value = self.context.value
        if self.has(_NO_VALUE) or (self.has(_NOBODY) and _WHO.match(self.context.question)):
            return False
        if self.has(_IT_IS):
            return self.context.factual or self.context.yes_no or self.text.casefold().startswith("that")
        return bool(self.shared) and self.context.factual and not (value and value <= self.stems)

    @property
    def same_subject(self) -> bool:
        """It says something else of the subject of one of the assistant's claims: "Whales are mammals!" """
        found = _SUBJECT.match(self.text)
        if not found or not self.new or len(self.stems) > 8 or self.has(_NEGATION):
            return False
        claimed = rf"\b{re.escape(found['subject'].removesuffix('s'))}s?\s+(?:is|are|was|were|means)\b"
        return bool(re.search(claimed, self.context.assistant, re.IGNORECASE))

    @property
    def tells(self) -> bool:
        """It says what the assistant did not know."""
        context = self.context
        if not (context.declined and context.factual and self.new) or context.asks_back or len(self.stems) > 14:
            return False
        if self.has(_OF_ONESELF) or self.has(_NEGATION) or self.has(_AT_THE_MOMENT):
            return False
        return self.has(_IT_IS) or len(self.text.split()) <= 6 or bool(self.stems & context.asked)

    @property
    def switched(self) -> bool:
        """What the assistant named was given up for something else: "We moved from Toggl to Clockify." """
        found = _SWITCHED.search(self.text)
        old = next((part for part in found.groups() if part), "") if found else ""
        return bool(stems(old) & self.context.said) and bool(self.new)

    @property
    def other_amount(self) -> bool:
        """It has a number or a time where the assistant had another: "We get paid on the 25th." """
        if not self.context.quantity or self.context.asks_back or len(self.stems) > 14 or self.has(_OF_ONESELF):
            return False
        clauses = [part for part in _PARTS.split(self.text) if self.contrast or not _NOT.search(part)]
        own = amounts(" ; ".join(clauses))
        return bool(own) and not amounts(self.text) & (amounts(self.context.assistant) | amounts(self.context.question))

    @property
    def plain_amount(self) -> bool:
        """It says little but such a number: "10 km/h.", "eight, since Pluto does not count", "There are only eight"."""
        value = re.sub(r"^\W*(?:(?:on|at|in|only)\s+)?", "", _PARTS.split(self.text)[0])
        bare = len(value.split()) <= 4 and bool(_AMOUNT.match(value)) and not re.search(r"\bnow\b", value)
        return self.other_amount and (bare or self.has(_IT_IS) or self.has(_THERE_ARE)) and not self.has(_COMPUTES)

    @property
    def plain(self) -> bool:
        """It can hardly be anything else: "wrong, Lyon", "it's twenty-eight", "It's Otis Vane.", "No, it isn't." """
        context, count = self.context, len(self.text.split())
        if context.asks_back or context.creative or count > 8:
            return False
        if self.after_denial or (self.denied and not self.softly):
            return (bool(self.new) and count <= 3 and context.factual) or (self.has(_ELLIPSIS) and context.yes_no)
        named = bool(_NAMED_VALUE.search(self.text)) and bool(_WHO.match(context.question))
        return self.other_value and self.has(_IT_IS) and (self.other_amount or named)

    @property
    def it_does(self) -> bool:
        """It says of "it" what was asked: "It hangs in Amsterdam." """
        found = _IT_DOES.match(self.text)
        if found is None or stem(found["did"].casefold()) not in self.context.asked | self.context.said:
            return False
        return self.context.factual and bool(self.new) and not (self.has(_NEGATION) or self.context.asks_back)

    @property
    def respells(self) -> bool:
        """A word of it is one of the assistant's with another letter or two: "Schmetterling" for "Schmetling"."""
        own = [word for word in self.new if len(word) > 4]
        said = [word for word in self.context.value if len(word) > 4]
        return any(
            word[:2] == other[:2] and SequenceMatcher(None, word, other).ratio() >= ALIKE
            for word in own
            for other in said
        )

    @property
    def places(self) -> bool:
        """It says what the assistant's answer really is, then what is right: "T-7 is for phones, T-12 for these"."""
        first, *rest = re.split(r"[,;]\s+", self.text, maxsplit=1)
        begins = self.after_placing or (bool(rest) and self.has(_COPULA) and _is_of(first, self.context))
        return begins and bool(stems(rest[0] if rest else self.text) - self.context.said - _META)

    @property
    def believes(self) -> bool:
        """It says modestly what is right: "I think it was Lyon"."""
        return self.has(_I_THINK_IT_IS) and self.context.wh and self.other_value

    @property
    def did_it(self) -> bool:
        """It names who did what was asked: "Rembrandt painted it." """
        found = _DOES_IT.match(self.text)
        return found is not None and stem(found["did"]) in self.context.asked | self.context.said and bool(self.new)

    @property
    def answers_anew(self) -> bool:
        """It says something new in the question's words, without what the assistant said: "Employees park there." """
        context = self.context
        value = context.value
        return (
            (context.wh or context.how) and not context.asks_back and bool(self.new)
            and len(self.stems & context.asked) >= len(context.asked) / 2 and len(self.text.split()) > 2
            and not self.has(_COMPUTES)
            and len(self.stems) <= 9 and not self.has(_COPULA) and not self.has(_NEGATION) and not self.has(_OF_ONESELF)
            and not value <= self.stems and not self.contrast
            and not re.match(r"\W*(?:he|she|his|her|their|in|on|when|if|so)\b", self.text, re.IGNORECASE)
        )  # fmt: skip

    @property
    def ties_anew(self) -> bool:
        """It says something new of the question's subject in the assistant's terms: "A cello has strings." """
        asked, said = self.context.asked, self.context.said
        return (
            bool(self.stems & (asked - said)) and bool(self.stems & (said - asked)) and bool(self.new)
            and self.has(_COPULA) and len(self.stems) <= 8 and not self.has(_NEGATION) and not self.has(_OF_ONESELF)
        )  # fmt: skip

    @property
    def denies_of_oneself(self) -> bool:
        """The assistant said something of the user, or of the chat, that the user denies."""
        if self.context.asks_back:
            return False
        if self.has(_I_AM_NOT):
            return True
        found = _I_DID_NOT.search(self.text)
        if not found:
            return False
        return bool(_SPEECH.match(found["verb"])) or stem(found["verb"].casefold()) in self.context.said

    @property
    def bare_value(self) -> bool:
        """A bare value of the kind that the assistant gave: "56." or "Lyon!" after a factual question."""
        words = self.text.split()
        if not self.new or not self.context.factual or self.context.asks_back:
            return False
        if self.context.wh and not self.shared and _NAME_FIRST.match(self.text):
            return True
        if len(words) > 3:
            return False
        if _TASTE.search(self.context.question) or self.text.endswith(("...", ",")):
            return False
        if self.shared and not self.text.endswith("!"):
            return False
        if all(_NUMBER.match(word.lstrip("$€£")) for word in words):
            return bool(_NUMBER.search(self.context.assistant)) and bool(
                re.fullmatch(r"[$€£]?[\d.,:%/ ]+[.!]?", self.text)
            )
        if len(words) == 1 and _CODE.fullmatch(self.text) and re.search(r"[A-Za-z][\w.-]*\d", self.text):
            return bool(re.search(r"\b[A-Za-z]{1,4}[-.]?\d", self.context.assistant))
        if self.text.endswith("!") and self.context.quantity and amounts(self.text) - amounts(self.context.assistant):
            return True
        named = all(word[0].isupper() for word in words) and any(
            w[0].isupper() for w in self.context.assistant.split()[1:] or ["A"]
        )
        return named and self.text.endswith("!") and len(self.context.asked) >= 2


def _is_of(text: str, context: Context) -> bool:
    """Whether it begins with what the assistant answered: "T-7 is for phones." """
    return bool(stems(" ".join(text.split()[:3])) & context.value)


@dataclass(frozen=True)
class Cue:
    """A named piece of evidence: what it adds to a statement's score where it is found."""

    name: str
    weight: float
    found: Callable[[Statement], bool]


CUES: tuple[Cue, ...] = (
    # It opposes what was said.
    Cue("denial", 2.0, lambda s: s.denied and not s.softly and bool(s.stems)),
    Cue("soft denial", 1.25, lambda s: s.denied and s.softly and bool(s.stems)),
    Cue("denial before", 2.0, lambda s: s.after_denial and not s.denied and bool(s.stems)),
    Cue(
        "denies in two words",
        2.25,
        lambda s: s.has(_ELLIPSIS) and (s.context.yes_no or (s.denied and not s.context.wh)),
    ),
    Cue("after faint praise", 1.5, lambda s: s.conceded and bool(s.stems)),
    Cue("contrast", 1.5, lambda s: s.contrast is not None),
    Cue("contrast with the assistant's words", 1.0, lambda s: s.wrong_was_said),
    Cue("negates what was said", 1.25, lambda s: s.has(_NEGATION) and bool(s.shared) and not s.contrast),
    Cue("strong negation", 1.25, lambda s: s.has(_STRONG_NEGATION) and bool(s.stems)),
    Cue("false claim", 1.75, lambda s: s.has(_YOUR_FALSE_CLAIM) and bool(s.shared or s.new)),
    Cue("blame", 2.0, lambda s: s.has(_BLAME) and bool(s.stems)),
    Cue("asks whether it is not", 2.0, lambda s: s.text.endswith("?") and s.has(_MAY_I_SAY)),
    Cue("you mean", 3.0, lambda s: s.has(_YOU_MEAN)),
    Cue("starred", 3.0, lambda s: bool(_STAR.match(s.text)) and bool(s.new)),
    Cue("sets the matter right", 2.0, lambda s: s.has(_CONTRARY) and bool(s.stems)),
    Cue("denies what was said of oneself", 2.25, lambda s: s.denies_of_oneself),
    # It says what is right.
    Cue("should be", 2.0, lambda s: s.has(_SHOULD_BE)),
    Cue(
        "prescribes",
        1.5,
        lambda s: s.has(_PRESCRIBES) and not s.has(_SHOULD_BE) and bool(s.shared or s.denied or s.after_denial),
    ),
    Cue("actually", 2.0, lambda s: s.has(_ACTUALLY) and bool(s.new) and not (s.denied or s.after_request)),
    Cue("emphasis", 2.0, lambda s: s.has(_EMPHASIS) and bool(s.shared) and bool(_NEGATION.search(s.context.assistant))),
    Cue("about the board", 1.0, lambda s: s.context.board and s.has(_BOARD)),
    Cue("ties the question to the answer anew", 1.25, lambda s: s.ties_anew),
    Cue("authority", 2.0, lambda s: s.has(_AUTHORITY) and bool(s.new)),
    Cue("record of the chat or of oneself", 1.25, lambda s: s.has(_RECORD)),
    Cue("definition", 1.0, lambda s: s.has(_CORRECTS_NAME) and bool(s.shared) and bool(s.new)),
    Cue("another value", 2.0, lambda s: s.other_value),
    Cue("bare value", 2.0, lambda s: s.bare_value),
    Cue("the assistant's subject", 1.25, lambda s: s.same_subject),
    Cue("same subject, new content", 0.75, lambda s: bool(s.shared) and bool(s.new)),
    Cue("a reason", 0.5, lambda s: s.has(_REASON) and bool(s.stems)),
    Cue("what the assistant did not know", 2.0, lambda s: s.tells),
    Cue("of the moment", -1.0, lambda s: s.has(_AT_THE_MOMENT) and not _AT_THE_MOMENT.search(s.context.question)),
    Cue("computes on", -1.0, lambda s: s.has(_COMPUTES) and not s.denied),
    Cue(
        "tells of oneself as the assistant was asked to",
        -2.0,
        lambda s: s.has(_OF_ONESELF) and not s.denied and bool(_OF_YOU.search(s.context.question)),
    ),
    Cue("finds it so", -2.0, lambda s: s.has(_THAT_IS_SO) and not (s.denied or s.after_denial)),
    Cue("given up for something else", 2.0, lambda s: s.switched),
    Cue("changed it", 1.25, lambda s: s.has(_CHANGED_TO) and bool(s.new)),
    Cue("with us", 1.25, lambda s: s.has(_WITH_US) and bool(s.new) and not s.context.asks_back),
    Cue("it does", 2.0, lambda s: s.it_does),
    Cue("another spelling", 2.0, lambda s: s.respells),
    Cue("gives the answer another place", 1.25, lambda s: s.places),
    Cue("the right one is", 2.0, lambda s: s.has(_RIGHT_IS) and bool(s.new or amounts(s.text))),
    Cue("does the job", 2.0, lambda s: s.has(_WORKS) and bool(s.new) and not s.has(_NEGATION) and s.context.factual),
    Cue("only", 1.25, lambda s: s.has(_ONLY) and s.context.yes_no and bool(s.new)),
    Cue("went to", 1.25, lambda s: s.has(_WENT_TO) and bool(s.new) and s.context.factual and not s.has(_OF_ONESELF)),
    Cue("names who did it", 2.0, lambda s: s.did_it),
    Cue("answers the question anew", 1.25, lambda s: s.answers_anew),
    Cue("a plain amount", 0.75, lambda s: s.plain_amount),
    Cue("another amount", 1.25, lambda s: s.other_amount),
    Cue("what we do", 0.75, lambda s: s.has(_WE) and bool(s.new) and (s.context.factual or s.context.yes_no)),
    Cue(
        "a value, not another",
        0.75,
        lambda s: (
            s.contrast is not None and s.context.wh and not s.context.asks_back and len(s.contrast.right.split()) <= 4
        ),
    ),
    Cue("changed state", 0.75, lambda s: s.has(_NEW_STATE) and bool(s.shared) and bool(s.new)),
    Cue(
        "about your things",
        2.0,
        lambda s: s.has(_YOUR_THING) and bool(s.shared),
    ),
    # It speaks of something else.
    Cue("doubt", -1.0, lambda s: s.has(_DOUBT) and not (s.has(_YOU_MEAN) or s.believes)),
    Cue("evaluation", -3.5, lambda s: s.has_in_prose(_EVALUATION) and not s.wrong_was_said),
    Cue(
        "speaks of oneself",
        -1.0,
        lambda s: (
            s.has(_OF_ONESELF)
            and not (s.believes or s.has(_RECORD) or s.denies_of_oneself or s.has(_AUTHORITY) or s.contrast)
        ),
    ),
    Cue("addition", -1.5, lambda s: s.has(_ADDITION)),
    Cue("explains a request", -1.0, lambda s: s.after_request and not s.denied),
    Cue("style", -2.5, lambda s: s.has_in_prose(_STYLE) and (s.context.creative or s.context.explains)),
    Cue("third party", -3.0, lambda s: s.has(_THIRD_PARTY) and not s.other_amount),
    Cue(
        "answers the assistant's question",
        -3.0,
        lambda s: (
            s.context.asks_back and (s.denied or s.context.only_asks) and not (s.wrong_was_said or s.has(_YOU_DO_NOT))
        ),
    ),
)


# ---------------------------------------------------------------------------------------------------------------------
# The message

_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=\S)|(?<=[。！？])|\n+")
_QUOTE = re.compile(r'"[^"\n]{1,400}"|(?<!\w)\'[^\'\n]{12,400}\'(?!\w)')
_BUT = _pattern(r"[\s,;.]*\bbut\b[\s,]*")


@dataclass(frozen=True)
class Evidence:
    """What speaks for and against a correction.

    score: sum of the weights; at or above `THRESHOLD` it is a correction.
    statement: the sentences that say what is right, without the denial; "" if there are none.
    reasons: the names of the cues found, in the order of finding.
    was_set_aside: whether a sentence of it was no statement about the answer at all.
    is_plain: whether a statement of it can hardly be anything but a correction.
    """

    context: Context
    score: float
    statement: str
    reasons: tuple[str, ...]
    was_set_aside: bool = False
    is_plain: bool = False

    @property
    def is_correction(self) -> bool:
        return self.score >= THRESHOLD


def _masked(message: str) -> tuple[str, list[str]]:
    """The message with its longer quotations replaced by placeholders: what is quoted, the user did not say."""
    quotes: list[str] = []

    def hide(found: re.Match[str]) -> str:
        if len(found[0].split()) < 3:
            return found[0]
        quotes.append(found[0])
        return f"quotation{len(quotes) - 1}"

    return _QUOTE.sub(hide, message), quotes


def _unmasked(text: str, quotes: Sequence[str]) -> str:
    for number in reversed(range(len(quotes))):
        text = text.replace(f"quotation{number}", quotes[number])
    return text


def sentences(message: str) -> Iterator[tuple[str, bool]]:
    """The sentences of a message; a "but" after praise or agreement starts a new one, marked as conceded."""
    for raw in _SENTENCE.split(message):
        sentence = raw.strip()[:SENTENCE_LIMIT]
        opening, *rest = _BUT.split(sentence, maxsplit=1)
        if (
            rest
            and rest[0]
            and opening
            and (_PRAISE.match(opening) or _CLOSE.match(opening) or _AGREEMENT.search(opening))
        ):
            yield opening, False
            yield rest[0], True
        elif normalise(sentence):
            yield sentence, False


def _set_aside(sentence: str, text: str, statement: Statement) -> tuple[str, float] | None:
    """Why a sentence is no statement about the assistant's answer, and what that adds to the message's score."""
    context, contrast = statement.context, statement.contrast
    if sentence.rstrip(" )").endswith(("?", "？")):
        asks = _MAY_I_SAY.match(text)
        value = stems((asks["value"] or asks["surely"]) if asks else "")
        if value - context.said - context.asked - _META and context.wh and not context.asks_back:
            return None  # "Isn't it Lyon?" says what is right, politely
        return "question", -0.5
    if _HYPOTHETICAL.search(text):
        return "hypothetical or future", -2.0
    if _SAID_BUT.search(text):
        return "points at a contradiction", -1.0
    if _YOU_MEAN.search(text) or _STAR.match(text):
        return None
    if context.board and _OWN_MOVE.match(text) and not _NEGATION.search(text):
        return "a move", 0.0
    if _AGREEMENT.search(sentence):
        return "agreement", -2.5
    if _PRAISE.match(sentence) and not contrast:
        return "praise", -0.25
    if _INTENT.search(text) and not (
        _RECORD.search(text) and not contrast and re.search(r"\b(?:only|never|didn't|not)\b", text, re.I)
    ):
        googled = re.search(r"\bi\s+(?:tried|looked|checked|googled)\b", text, re.I)
        if not googled:
            return "own intent", -2.0
    if _ATTITUDE.search(text):
        return "attitude", -2.0
    if _REQUEST.search(text) and not (
        statement.wrong_was_said and not (context.creative or _STYLE.search(text) or context.asks_back)
    ):
        return "request", -1.5 if context.creative else -0.5
    if _TROUBLE.search(text):
        return "trouble report", -1.0
    if _is_bare_denial(text, statement):
        return "denial without content", 0.0
    return None


def _is_bare_denial(text: str, statement: Statement) -> bool:
    """It denies, but all its words are the question's, the assistant's or about the answer as such."""
    context = statement.context
    if statement.contrast or statement.has(_ELLIPSIS):
        return statement.contrast is None and context.wh
    if _SOMETHING_IS_WRONG.match(text):
        return True
    if statement.new or statement.has(_REASON) or not _JUDGEMENT.search(text):
        return False
    names_which = context.wh and not context.yes_no
    return names_which or statement.stems <= _META


def read_cues(message: str, assistant: str, question: str = "") -> Evidence:
    """Weighs the cues in `message`, given what the assistant said before and the question it answered."""
    context = Context.of(question, assistant)
    masked, quotes = _masked(clean(message))
    total, best = 0.0, 0.0
    reasons: list[str] = []
    kept: list[str] = []
    after_denial = after_request = after_placing = set_aside = plain = False
    for sentence, after_but in sentences(masked):
        text, denied = strip_denial(sentence)
        if (wrong := _IS_WRONG.match(text)) and stems(wrong["what"]) & context.value:
            text, denied = wrong["right"] or "", True
        conceded = after_but or bool(_CLOSE.match(sentence))
        words = frozenset(stems(text))
        statement = Statement(
            text=text,
            denied=denied,
            softly=denied and bool(_SOFT_DENIAL.match(sentence)),
            after_denial=after_denial,
            after_placing=after_placing,
            after_request=after_request,
            conceded=conceded,
            stems=words,
            contrast=contrast_in(text),
            context=context,
        )
        after_denial = after_denial or denied or conceded or bool(_IT_IS_NOT.match(text))
        if not normalise(text):
            reasons.append("denial without content")
            continue
        if sentence.endswith("?") and len(text.split()) <= 3 and words and words <= context.value:
            reasons.append("echoes the answer")  # "30? It's been 45 since January."
            after_denial = True
            continue
        aside = _set_aside(sentence, text, statement)
        if aside:
            reasons.append(aside[0])
            set_aside = True
            total += aside[1]
            after_denial = after_denial or aside[0] == "denial without content"
            if aside[0] in ("question", "request"):
                after_denial, after_request = False, True
            continue
        plain = plain or statement.plain
        found = [cue for cue in CUES if cue.found(statement)]
        score = sum(cue.weight for cue in found)
        reasons += [cue.name for cue in found]
        if denied and not statement.softly:
            total = max(total, -1.0)  # "yeah, will watch it. No, his brother did it": the later word counts
        after_placing = after_placing or (statement.has(_COPULA) and bool(statement.new) and _is_of(text, context))
        if score > 0:
            before = _IT_IS.match(text)
            lead = before["before"] if before else None
            said = _unmasked(text[len(lead) :] if lead and not stems(lead) & context.asked else text, quotes)
            # "That's water. Ethanol boils at 78 degrees": the former says what the assistant took it for.
            if words & context.asked:
                kept = [each for each in kept if not _THAT_IS.match(each)]
            kept.append(said)
        best = max(best, score) if kept else min(best, score)
    if not kept:
        return Evidence(context, min(total + best, 0.0), "", tuple(reasons), set_aside)
    return Evidence(context, total + best, " ".join(kept), tuple(reasons), set_aside, plain)


def is_retry(message: str) -> bool:
    """Whether a message only rejects or doubts an answer ("No", "Try again", "Are you sure?"): the question stands."""
    text, denied = strip_denial(clean(message))
    if not normalise(text):
        return denied
    return not _WH.search(text) and stems(text) <= _META


_IS_CLAUSE = _pattern(
    r"""^\W*(?:(?:no|wrong|actually|well|and|but)\W+)*(?P<subject>\w[\w' -]{0,60}?)(?:\s+(?:is|are|was|were)|'s|
        're)\s+(?P<no>not\s+)?(?P<value>\S.*)$"""
)
_BOTH_WAYS = _pattern(
    r"""\b(?:right\s+and\s+(?:also\s+)?wrong|wrong\s+and\s+(?:also\s+)?right|true\s+and\s+(?:also\s+)?false|
        false\s+and\s+(?:also\s+)?true)\b"""
)


def contradicts_itself(message: str) -> bool:
    """Whether a message says what excludes each other: "It is Lyon, not Lyon", "It's 25. It's 30." """
    message = clean(message)
    if _BOTH_WAYS.search(message):
        return True
    for sentence, _ in sentences(message):
        contrast = contrast_in(sentence)
        wrong = tokens_of(contrast.wrong) if contrast else []
        right = tokens_of(contrast.right) if contrast else []
        if wrong and right[-len(wrong) :] == wrong and set(right[: -len(wrong)][-1:]) <= STOPWORDS:
            return True  # but not "mezzo soprano, not soprano"
    values: dict[str, set[str]] = {}
    denied: dict[str, set[str]] = {}
    for clause in re.split(r"[,;.!?\n](?!\d)", message):
        found = _IS_CLAUSE.match(re.sub(r"\b(is|are|was|were)n't\b", r"\1 not", clause, flags=re.IGNORECASE))
        if found:
            of = denied if found["no"] else values
            of.setdefault(normalise(found["subject"]), set()).add(normalise(found["value"]))
    for subject, said in values.items():
        numbers = {value for value in said if re.fullmatch(r"\d[\d ]*", value)}
        if said & denied.get(subject, set()) or len(numbers) > 1:
            return True
    return False
