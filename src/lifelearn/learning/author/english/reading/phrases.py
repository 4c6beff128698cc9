"""What people's sentences contain when they correct somebody, and when they do not: patterns, each with a name.

They read cleaned text (words.clean). What they mean beside what was said before, statement.py and cues.py tell.
"""

from __future__ import annotations

import re

from lifelearn.learning.examiner.marking import NUMBER_WORDS
from lifelearn.learning.words import listed, stem


def pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.VERBOSE | re.IGNORECASE)


# ---------------------------------------------------------------------------------------------------------------------
# The turns before: what was asked, and how it was answered

WH = pattern(r"\b(?:what|which|who|whose|whom|when|where|how\s+(?:many|much|long|old|far|tall|high|deep|big|often))\b")
WHO = pattern(r"^\W*who(?:m|se)?\b")
HOW = pattern(r"^\W*(?:how\s+(?:do|does|did|can|should|must)|what\s+(?:do|should|must))\b")
YES_NO = pattern(r"^\W*(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am)\b")
VALUE_TASK = pattern(
    r"^\W*(?:please\s+)?(?:name|give|tell\s+me|state|calculate|compute|solve|translate|add|convert|try|how\s+do)\b"
)
# "and the minimum version?", "17 * 23?", "German for butterfly?"
ELLIPTIC = pattern(
    r"^\W*(?!(?:is|are|was|were|do|does|did|can|could|has|have|had|will|would|should|am|write|draft|please)\b)[^?]{2,60}\?\W*$"
)
QUANTITY = pattern(
    r"""\b(?:when|how\s+(?:many|much|long|old|far|tall|high|deep|big|often|soon|fast))\b
      | \d\s*(?:[-+*/×%]|plus|minus|times|divided)
      | \b(?:what|which)\b.{0,40}?\b(?:time|date|day|year|month|number|speed|size|percentage|price|amount|port|floor|
        limit|fee|cost|allowance|period|window|height|length|age|distance|temperature|point|rate|deadline|budget|score|total|room)\b"""
)
CREATIVE = pattern(
    r"""^\W*(?:(?:please|can\s+you|could\s+you|now)\s+)*(?:write|draft|compose|suggest|recommend|rewrite|
        summari[sz]e|invent|brainstorm|rephrase|shorten|design|propose|
        think\s+of|come\s+up|tell\s+me\s+a\s+(?:joke|story)|(?:give|list|name)\s+(?:me\s+)?(?:some|\w+\s+(?:ideas|
        names)))\b"""
)
EXPLAIN = pattern(r"^\W*(?:please\s+|(?:can|could)\s+you\s+)?(?:explain|describe)\b")
TASTE = pattern(r"\b(?:you|your|favou?rite|recommend|suggest|best|nice|good)\b")
OF_YOU = pattern(r"\b(?:are|were|do|did|have|can|would)\s+you\b(?!\s+(?:know|tell|say|think|remember))|\byour\b")
ASKS = pattern(
    r"""\W*(?:(?:and|so|but|or|oh|cool|great|well|ok(?:ay)?)[\s,!]+)*(?:what|which|who|whose|when|where|why|how|
        for\s+(?:what|how)|is|are|was|were|do|does|did|can|could|
        has|have|had|will|would|should|shall|am|any|ever|you|isn't|aren't|don't|doesn't|didn't)\b |
        (?:\S+\s+){0,5}\S+$"""
)
OFFER = pattern(
    r"""\b(?:anything\s+else|would\s+you\s+like|do\s+you\s+want\s+me|can\s+i\s+help|other\s+questions|
        more\s+questions|let\s+me\s+know|how\s+can\s+i)\b"""
)
WISH = pattern(r"\b(?:i\s+hope|hope\s+(?:it|you)|good\s+luck|i'm\s+sorry|i\s+am\s+sorry|sorry\s+to\s+hear)\b")
DECLINED = pattern(
    r"""\b(?:as\s+an\s+ai|(?:i|we)\s*(?:'m|\s+am)?\s*(?:do\s+not|don't|cannot|can't|couldn't|am\s+not|not|am\s+unable|unable)\s+
        (?:\w+\s+)?(?:know|have|able|sure|aware|access|find|tell|see|provide|answer|familiar|certain)|
        no\s+(?:information|data|access|record|idea|knowledge)|(?:not|isn't)\s+(?:publicly\s+)?(?:available|known|specified|
        provided|mentioned))\b"""
)
CHESS = re.compile(r"\b(?:[KQRBN][a-h1-8]?x?[a-h][1-8]|\d+\.+\s*(?:[a-h][1-8]|[a-h]x[a-h][1-8]|O-O))")


# ---------------------------------------------------------------------------------------------------------------------
# Sentences that state nothing about the assistant's answer

AGREEMENT = pattern(
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
PRAISE = pattern(
    r"""^\W*(?:(?:oh|ah|wow|that(?:'s|\s+is|\s+was)|it(?:'s|\s+is)|what\s+a|a|very|really|super|so)[\s,!]+)*
        (?:great|excellent|fantastic|awesome|wonderful|brilliant|nice|good|super|amazing|cool|lovely|interesting|
        funny|impressive)\b"""
)
INTENT = pattern(
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
ATTITUDE = pattern(
    r"""\b(?:i|we)\s*(?:'m|am|'d|would|do|don't|do\s+not|didn't|really|just|also|still|never|kinda|personally|
        actually|\s)*\b
        (?:like|love|hate|prefer|enjoy|wish|disagree|agree|hope|feel|trust|believe\s+you|care|disappointed|happy|
        sad|sure|glad|fan|interested|
           convinced|amazed|impressed|bored|tired\s+of|surprised|afraid|recommend)\b
      | \b(?:in\s+my\s+(?:\w+\s+)?(?:opinion|view|experience)|imo|imho|for\s+my\s+taste|my\s+(?:taste|favou?rite|
      opinion)|if\s+you\s+ask\s+me)\b
      | \bfor\s+(?:me|us)\W*(?:$|,) | \b(?:not\s+sure|not\s+convinced)\b"""
)
REQUEST = pattern(
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
HYPOTHETICAL = pattern(
    r"""^\W*(?:imagine|suppose|supposing|pretend)\b | \b(?:pretend|let's\s+say|what\s+if|hypothetically|fantasy|
        fictional\w*|
        in\s+(?:my|this|our|the)\s+(?:\w+\s+)?(?:world|story|novel|game|play|book|dream)|
        (?:from|starting|until|as\s+of)\s+(?:next|tomorrow)|next\s+(?:week|month|year)|in\s+(?:the|
        a\s+few)\s+(?:future|days|weeks)|going\s+forward|any\s*time\s+soon)\b"""
)
SAID_BUT = pattern(r"\byou\s+(?:\w+\s+)?(?:said|wrote|claimed|stated|told)\b.*\bbut\s+(?:then\s+)?(?:you|now)\b")
TROUBLE = pattern(
    r"""\b(?:(?:doesn't|does\s+not|didn't|did\s+not|don't|won't|still\s+not|not)\s+(?:\w+\s+)?(?:work|compile|run|
        help|load|start)\w*|errors?\s+(?:message|in\s+line|\d|went)|
        \w+(?:error|exception)|exit\s+code|crash\w*|fails|failed\s+with|traceback|stack\s*trace|gave\s+me|gives\s+me|
        i\s+(?:get|got)\s+(?:an?|the|this)\s+(?:\w+\s+)?(?:errors?|exception|warning|output|message|result)|
        still\s+(?:broken|failing)|\*\*\*)"""
)
OWN_MOVE = re.compile(r"\W*(?:\d+\.+\s*)?(?:[KQRBN][a-h1-8]?x?[a-h][1-8]|O-O)(?!\w|\s+(?:is|was|isn't|wasn't|can't))")
SOMETHING_IS_WRONG = pattern(
    r"""\W*(?:(?:\w+\s+){0,4}(?:answer|words?|part|step|line|number|date|name|one|of\s+\w+\s+\w+|something|
        some\w*)\s+)(?:is|are|was|were|seems?|looks?|must\s+be)\s+(?:still\s+|also\s+)?
        (?:wrong|incorrect|off|missing|not\s+(?:right|correct|true))\W*$
      | \W*(?:there\s+(?:is|are|'s)|there's|you\s+have|you\s+made|i\s+see)\s+(?:still\s+)?(?:an?|some|one|\w+|
      a\s+number\s+of)\s+(?:\w+\s+)?(?:errors?|mistakes?)\b[^:]*$"""
)
JUDGEMENT = pattern(
    r"""\b(?:wrong|incorrect|mistaken?s?|errors?|false|not\s+(?:right|correct|true|what)|isn't|wasn't|aren't|
        weren't|not|n't|invalid|illegal|inaccurate)\b|n't\b"""
)
# Words by which one speaks about an answer without saying anything that it should have said.
META = frozenset(
    stem(word)
    for word in listed(
        """wrong incorrect mistake mistaken error false true right correct accurate answer response result solution
        calculation reply reasoning previous last step final again try still yesterday today before time number there's
        think sure it'll definitely certainly believe know case same make doubt really thing look like sound quite"""
    )
)


# ---------------------------------------------------------------------------------------------------------------------
# What a statement may show

# "MIT is wrong, we use Apache": what it denies, and what it says.
IS_WRONG = pattern(
    r"""\W*(?P<what>\w[^,.;:!?]{0,60}?)\s+(?:is|was|are|were|isn't|wasn't)\s+(?:\w+\s+)?
        (?:wrong|incorrect|false|outdated|out\s+of\s+date|obsolete|right|correct|history|gone|the\s+old\s+\w+)
        \s*(?:[,;:–—-]+\s*(?P<right>\S.*)|[.!]*)$"""
)
# "actually" and "yes it does" oppose, but do not say by themselves that the assistant was wrong.
SOFT_DENIAL = pattern(r"\W*(?:actually|in\s+fact|yes)\b")
STYLE = pattern(
    r"""\b(?:formal|informal|short(?:er)?|long(?:er)?|simpl(?:e|er|y)|concise|detail(?:ed|s)?|friendl(?:y|ier)|
        polite|tone|style|emojis?|bullet\w*|numbered|rhymes?|
        chorus|verses?|paragraphs?|sentences?|exclamation|commas|words|cheerful|sad|funn(?:y|ier)|serious|creative|
        technical|academic|jargon|personal|catchy|boring|brighter|vivid|wording|phrasing|conclusion|introduction)\b"""
)
DOUBT = pattern(
    r"""\b(?:i\s+(?:think|believe|guess|find|suppose|doubt|don't\s+(?:think|believe|know))|a\s+feeling|
        might\s+(?:not\s+)?be|may\s+(?:not\s+)?be|maybe|perhaps|
        sounds?\s+(?:\w+\s+)?(?:wrong|off|right|too|like)|seems?|probably|not\s+certain)\b"""
)
EVALUATION = pattern(
    r"""\b(?:too\s+\w+|overdoing|rip[-\s]?off|boring|ugly|beautiful|stupid|awful|terrible|horrible|lovely|cute|
        (?:that|this|so|pretty)\s+(?:good|bad)|idiot\w*|dumb\w*|useless|
        (?:much|far)\s+\w+er|nicer|worse|better|complicated|funny|scary|amazing|great|wonderful|helpful|annoying|
        overrated|underrated|delicious|disgusting|fun|unreliable|making\s+things\s+up|rude|crazy|
        weird|sucks?|cool)\b"""
)
THIRD_PARTY = pattern(
    r"""^\W*mine\b|\bmy\s+(?:\w+\s+)?(?:mother|father|brother|sister|teacher|boss|friend|wife|husband|colleague|
        calculator|mum|mom|dad|son|daughter|doctor|professor)\b"""
)
ADDITION = pattern(
    r"""^\W*(?:now|next)\s+(?!it|that|they|we|he|she|the|you)|^\W*(?:and|also|plus|besides|additionally|then|by\s+the\s+way|btw|fun\s+fact)\b|\b(?:as\s+well|too)\W*$|
        ^\W*[\w'\s]{1,30}\balso\b"""
)
NEGATION = pattern(
    r"""\b(?:not|never|no|nothing|none|nobody|cannot|impossible|illegal|invalid|only|without|neither|nor|
        by\s+no\s+means)\b|n't\b
      | \b(?:cant|dont|isnt|doesnt|wasnt|didnt|wont|arent)\b"""
)
STRONG_NEGATION = pattern(
    r"""\b(?:nothing\s+to\s+do\s+with|by\s+no\s+means|no\s+longer|not\s+any\s*more|any\s+more|anymore|not\s+(?:just|
        only|even|actually))\b
      | ^\W*(?:it|that|they|he|she|these|those|there)(?:'s|\s+is|\s+was|\s+are|'re|\s+were)?(?:\s+not|n't|\s+isn't|
      \s+aren't|\s+wasn't|\s+no)\b"""
)
IT_IS_NOT = pattern(r"\W*(?:it|that|they|these|those)(?:'s|\s+is|\s+was|\s+are|'re|\s+were)?(?:\s+not|n't)\b")
YOUR_FALSE_CLAIM = pattern(
    r"""\b(?!(?:i|we|he|she)\b)\w+\s+(?:can't|cannot|can\s+not|couldn't|may\s+not|aren't\s+allowed|
        are\s+not\s+allowed|no\s+longer)\b
      | \byou\s+(?:also\s+|still\s+|already\s+)?(?:don't|do\s+not|didn't|did\s+not|have\s+no|haven't|aren't|
      are\s+not|never)\b
      | \b(?:your|my)\s+\w+(?:\s+\w+)?\s+(?:is|are|was|has|does)(?:\s+not|n't|\s+already|\s+no\s+longer)\b
      | \byou\s+(?:are|have)\s+(?:already|in\s+check|still)\b | \bnot\s+allowed\s+to\b | \bthere(?:'s|\s+is|\s+are|
      \s+was)\s+(?:no|not)\b | \bthere\s+(?:isn't|aren't|wasn't)\b"""
)
CONTRARY = pattern(
    r"\b(?:(?:nothing|everything)\s+to\s+do\s+with|by\s+no\s+means|the\s+only\s+(?:time|way|reason|one))\b"
)
I_AM_NOT = pattern(
    r"^\W*(?:i\s+am|i'm|we\s+are|we're|i\s+was|i\s+wasn't|we\s+aren't|my\s+\w+\s+(?:is|was|are))\s*(?:not|n't)\b"
)
I_DID_NOT = pattern(
    r"""^\W*(?:i|we)\s*(?:did\s+not|didn't|never|only|haven't|have\s+not|have\s+never|do\s+not|don't|can|
        have\s+already|already|just)\s+(?:just\s+)?(?P<verb>\w+)"""
)
SPEECH = pattern(r"(?:said|say|told|tell|asked|ask|claim|claimed|mentioned|wrote|written)$")
YOU_DO_NOT = pattern(r"\byou\s+(?:don't|do\s+not|can't|cannot|didn't|never)\b")
BLAME = pattern(
    r"""\byou(?:'ve|\s+have)?\s+(?:just\s+|only\s+|also\s+)?(?:forgot(?:ten)?|miss(?:ed)?|left\s+out|omitted|
        skipped|mixed\s+up|confused?|are\s+confusing|
        multiplied|divided|added|subtracted|swapped|miscalculated|misread|misspelled|miscounted|
        made\s+an?\s+(?:illegal|invalid|wrong))\b
      | \b(?:wrong|illegal|invalid|impossible|mistake|incorrect)\b.{0,60}\b(?:because|since|as)\b |
      \bfollowing\s+(?:errors|mistakes)\b"""
)
YOU_MEAN = pattern(
    r"""^\W*(?:(?:i\s+(?:think|believe|guess)|surely|don't)\s+)?(?:you\s+)?(?:mean|meant|must\s+mean|
        probably\s+mean)\s+(?!(?:that|the\s+one|by)\b)\S"""
)
PRESCRIBES = pattern(
    r"""\b(?:should(?:n't)?\s+(?:\w+\s+)?(?:be|have|say|read|show|not|never|look)|should\s+\w+ |
        (?<!that\s)(?<!it\s)(?<!i\s)would\s+(?:be|have\s+been|mean) | must\s+\w+ |
        (?:has|have|needs?|had)\s+to\s+\w+ | ought\s+to)\b"""
)
YOUR_THING = pattern(r"\byour\s+(?!answer|response|explanation|help)\w")
SHOULD_BE = pattern(
    r"""\b(?:should(?:n't)?(?:\s+not)?\s+(?:\w+\s+)?(?:be|have\s+been|read)|must\s+be|must\s+have\s+been|
        ought\s+to\s+be)\b"""
)
ACTUALLY = pattern(r"(?<!\bi\s)(?<!\bi'm\s)\b(?:actually|in\s+fact|in\s+reality)\b")
EMPHASIS = pattern(
    r"^\W*(?:yes\s+)?(?:it|they|he|she|you|we|there)\s+(?:did|do|does|is|are|was|were|has|have|can)\s+(?!not\b)\w"
)
BOARD = pattern(
    r"""\b(?:king|queen|rook|bishop|knight|pawn|check(?:mate)?|square|castle|turn|move[sd]?|piece|white|black|
        [a-h][1-8]|pinned|capture[sd]?)\b"""
)
SOMEONE_DID = pattern(
    r"^\W*(?!(?:it|he|she|they|you|i|we|that|this)\b)(?:[\w'.-]+\s+){1,4}(?:did|does|do|is|was|has)\W*$"
)
OF_ONESELF = pattern(r"^\W*(?:i|i'm|i've|i'll|my|me)\b")
AUTHORITY = pattern(
    r"""\b(?:wikipedia|google\w*|docs?|documentation|manual|question|problem|text|book|website|site|page|sources?|
        handbook|policy|contract|article|exercise|task|rules?|law|
        encyclop\w+|dictionary|report|specification|spec|readme|wiki|intranet|
        calendar)\b\s+(?:\w+\s+){0,2}?(?:says?|said|states?|mentions?|shows?|lists?|reads?|gives?|requires?|told)\b
      | \bthe\s+(?!one\b|other\b)\w+\s+(?:clearly\s+|also\s+)?(?:says|states|reads|shows|lists)\b
      | \baccording\s+to\b(?!\s+you)"""
)
RECORD = pattern(
    r"""\b(?:i|we)\s+(?:only|never|already|just|did|didn't|did\s+not|haven't|have\s+not|have\s+never|\s)*\s?
        (?:said|say|told|tell|asked|ask|claim(?:ed)?|mention(?:ed)?|wrote|called?|do\s+that)\b(?!\s+(?:about|for|
        you\s+to)\b)
      | \bmy\s+(?:\w+\s+)?(?:is|are|was)\b | \b(?:i\s+am|i'm|we\s+are|we're)\s+(?:not|no|a|an|the|from|in|playing|
      white|black|\d+)\b | \bi\s+live\b"""
)
CORRECTS_NAME = pattern(
    r"\b(?:stands?\s+for|is\s+(?:called|named|spelled|short\s+for)|are\s+called|means|calls?\s+(?:it|them))\b"
)
REASON = pattern(r"\b(?:because|since|due\s+to|so\s+(?:it|you|that|the))\b")
COPULA = pattern(
    r"""\b(?:is|are|was|were|'s|'re|has|have|costs?|gets?|takes?|stars?|lies|lives?|starts?|closes?|opens?|use[sd]?|
        runs?|equals|means?|calls?|gives?|makes?|made|wrote|did|been|handle[sd]?|uses|say|says|print[sd]?)\b|="""
)
IT_IS = pattern(
    r"""^\W*(?P<before>(?!i\b|my\b|if\b|when\b)[^,.;:?]{1,40},\s+)?(?:(?:i\s+think|i\s+believe)\s+)?(?:now\s+)?
        (?:it|ours|that|they|he|she|this|these|those|the\s+(?:right\s+|correct\s+|
        real\s+|actual\s+|true\s+)?(?:answer|result|one|total))(?:'s|\s+is|\s+was|'re|\s+are|\s+were|\s+must\s+be|
            's\s+been|\s+has\s+been|'d\s+be|\s+would\s+be)\s+(?!not\b)"""
)
I_THINK_IT_IS = pattern(
    r"^\W*i\s+(?:think|believe|guess)\s+(?:that\s+)?(?:it|they|he|she)(?:'s|\s+is|\s+was|\s+are|\s+were)\s+(?!not\b|a\b)\S"
)
THAT_IS = pattern(r"^\W*(?:that|this)(?:'s|\s+is|\s+was)\b")
NEW_STATE = pattern(
    r"""\b(?:old|former|previous|outdated|changed|stopped|stops|quit|ended|has\s+moved|moved\s+to|left|now|nowadays|these\s+days|any\s*more|
        no\s+longer|since)\b"""
)
SWITCHED = pattern(
    r"""\b(?:switched|moved|migrated|changed|went|upgraded|renamed)\s+(?:\w+\s+){0,2}?from\s+(?P<old>.{1,60}?)\s+to\s+\S
      | ^\W{0,5}(?P<replaced>\w.{0,60}?)\s+(?:was|were|has\s+been|have\s+been|got)\s+(?:replaced|succeeded|superseded|
        renamed)\b
      | \b(?:replaced|swapped|dropped|abandoned|retired)\s+(?P<dropped>.{1,60}?)\s+
        (?:with|by|for|in\s+favou?r\s+of)\s+\S"""
)
CHANGED_TO = pattern(
    r"^\W*(?:we|they)(?:'ve|\s+have)?\s+(?:\w+\s+)?\w{4,}ed\s+(?:it|them|that|this)\s+(?:\w+\s+)?(?:to|into)\s+\S"
)
WITH_US = pattern(
    r"""^\W*(?:(?:at|in|for|with|within|on)\s+(?:our|this|my)\s+(?:company|firm|team|office|department|organi[sz]ation|school|
        shop|group|place|project|case|plant|hospital|university)|with\s+us|over\s+here|around\s+here)\b"""
)
IT_DOES = pattern(r"^\W*(?:it|they|he|she|you|people)\s+(?:\w+ly\s+)?(?P<did>\w+)\s+\S")
MAY_I_SAY = pattern(
    r"""^\W*(?:(?:isn't|wasn't|aren't|weren't)\s+(?:it|that|this|he|she|they)|(?:is|was)\s+it\s+not)\s+(?P<value>[^?]{1,60})\?
      | ^\W*(?P<surely>[^,.?!]{1,40}),?\s+surely\s*\?"""
)
NAME_FIRST = re.compile(r"^\W*(?!I\b)[A-Z][\w'.-]+(?:\s+[A-Z][\w'.-]+){0,3},\s+(?!please\b|and\b|what\b|how\b)[a-z]")
CODE = re.compile(r"[A-Za-z]{0,4}[-.]?\d[\w.-]{0,8}[.!]?")
RIGHT_IS = pattern(
    r"""^\W*(?:the\s+)?(?:right|correct|real|actual|true|proper)\s+(?:answer|one|value|number|name|spelling|form|order|word|version)\s*
        (?:is|was|:|would\s+be)"""
)
WORKS = pattern(
    r"^\W*\S+(?:\s+\S+){0,4}\s+(?:does\s+(?:the\s+job|it|the\s+trick)|is\s+(?:the\s+right|correct)|works)\b"
)
ONLY = pattern(r"^\W*(?:only|except|but\s+not|unless|just)\b")
WENT_TO = pattern(
    r"\b(?:went|moved|switched|changed|migrated|passed|transferred|goes|go|handed\s+(?:it\s+)?over|gone)\s+(?:over\s+)?to\s+(?!the\s+(?:shop|doctor))\S"
)
DOES_IT = re.compile(
    r"^\W*(?:[A-Z][\w.'-]*(?:\s+(?:(?:and|of|de|van|von)\s+)?[A-Z][\w.'-]*){0,4}|(?:[Tt]he|[Oo]ur|[Aa]n?)(?:\s+\w+){1,4}?)"
    r"\s+(?P<did>[a-z]+)\s+(?:it|that|this|them)\b"
)
NO_VALUE = pattern(
    r"^\W*(?:it|that|they)(?:'s|\s+is|\s+was|'re|\s+are|\s+were)\s+(?:for|to|from|with|about)\s+(?:me|my|us)\b"
)
NOBODY = pattern(
    r"""^\W*(?:it|that|they|he|she)(?:'s|\s+is|\s+was|'re|\s+are|\s+were)\s+(?:down|up|broken|over|for|in|on|off|out|too|very|
        still|again|gone|so|at|away|ill|sick|back)\b"""
)
PARTS = re.compile(r",\s|;\s|\s(?:since|because|as)\s", re.IGNORECASE)
NOT = pattern(r"n't\b|\b(?:not|never|no)\b")
COMPUTES = pattern(r"\b(?:ago|later|from\s+now|in\s+total|altogether)\b")
THAT_IS_SO = pattern(
    r"""^\W*(?:that|it|he|she|they)(?:'s|\s+is|\s+was|'re|\s+are|\s+were)\s+(?:so\s+|very\s+|quite\s+|really\s+|pretty\s+|
        such\s+|rather\s+)?(?:long|early|late|far|a\s+lot|lots|much|little|few|cheap|expensive|fast|slow|big|small|high|low|
        quick|soon|nice|kind|friendly|smart|clever|young|old|new|busy|strange|odd|sick|here|gone|close|near|hard|easy|
        true|important|famous|dead|tall|short)\b(?:\s+(?:ago|time|way|too|then|now|indeed))?\W*$
      | ^\W*(?:that|it)(?:'s|\s+is|\s+was)\s+(?:\w+\s+)?(?:\w+er|more\s+\w+|less\s+\w+|less|more)\s+than\b"""
)
AT_THE_MOMENT = pattern(
    r"^\W*it(?:'s|\s+is)\b.*\bhere\W*$|\b(?:right\s+now|today|tonight|at\s+the\s+moment|outside|tomorrow|yesterday)\b"
)
WE = pattern(
    r"^\W*(?:we|our|ours)\b(?!\s+(?:are|were|had|have(?!\s+(?:it|them))|want|need|will|would|should|could|might)\b|')"
)
GOES_ON = pattern(r"^\W*(?:he|she|his|her|their|in|on|when|if|so)\b")
THERE_ARE = pattern(r"^\W*there(?:'s|\s+is|\s+are|\s+was|\s+were)\s+(?!no\b)")
ELLIPSIS = pattern(
    r"""^\W*(?:yes\s+)?(?:it|that|they|he|she|you|there|we|i|this)\s*(?:does|is|do|did|can|has|have|was|are|were|
        will|am|would|should|could)(?:\s*not|n't)?\W*$"""
)
STAR = re.compile(r"^\s*\*\s?\w[^*\n]{0,60}$|^[^*\n]{1,60}\w\*\s*$")
NAMED_VALUE = re.compile(r"^\W*\w+(?:'s|\s+is|\s+was)\s+[A-Z]")
SUBJECT = pattern(r"^\W*(?:the\s+|an?\s+)?(?P<subject>[\w-]+(?:\s[\w-]+)?)\s+(?:is|are|was|were|means)\b")
AMOUNT = pattern(
    rf"""\b(?:\d+(?:[.,:]\d+)*(?=(?:st|nd|rd|th|am|pm|h|k|%)?\b)
      | (?:(?:twen|thir|for|fif|six|seven|eigh|nine)ty-[a-z]+|{"|".join(NUMBER_WORDS)}|
        thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|
        dozen|half|first|second|third|fourth|fifth|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|noon|midnight|
        hourly|daily|nightly|weekly|monthly|quarterly|yearly|annually|every\s+\w+|
        january|february|march|april|june|july|august|september|october|november|december)\b)"""
)
NUMBER = re.compile(r"\d")
