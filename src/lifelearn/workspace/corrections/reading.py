"""What is right, read out of a person's sentence by the engine's rules, without a model.

The web process has no model of its own: where the rules leave several spans, the first is taken, and the person
sees it.
"""

from __future__ import annotations

import re

from lifelearn.learning import types as learning
from lifelearn.learning.detect import DetectionError, correction_from
from lifelearn.learning.states import states
from lifelearn.learning.words import content_words, normalise
from lifelearn.workspace.errors import InvalidError

# It says little without what was said before: "And in Munich?"
_LEANS = re.compile(
    r"\W*(?:and|or|but|what\s+about|how\s+about|same)\b|\W*(?:why|how\s+(?:so|come)|when|where|who|which|what)\W*$",
    re.IGNORECASE,
)


def stated(question: str, wrong: str, text: str, field: str = "right_answer") -> learning.Correction:
    """The correction that somebody states. Raises InvalidError, with what is wrong with the field, where it is none."""
    try:
        return correction_from(question, wrong, text)
    except DetectionError as error:
        raise InvalidError(str(error), {field: str(error)}) from None


def leans(question: str) -> bool:
    """Whether the question needs what was said before it, and would be learned without that."""
    return bool(_LEANS.match(question)) or not normalise(question) or (len(content_words(question)) == 0)


def same_answer(one: str, other: str) -> bool:
    """Whether two answers say the same: "25 days" and "twenty-five days", but not "25 days" and "25 days or more"."""
    return normalise(one) == normalise(other) or (states(one, other) and states(other, one))
