"""The skills: what a small model is asked around a correction, and what teaches it to answer.

For now the facts, records from which the rows of all skills are derived (`facts`). It knows no weights and no lesson.

Others import the room's modules that `__all__` names; the door itself imports none of them.
"""

__all__ = ["facts"]
