"""The method: self-distillation, by which a student moves towards what its teacher, given the demonstration, would say.

Two loops, each to be read from top to bottom, on the same rows and losses: `lesson_loop` for corrections, `data_loop`
for a data set as in the paper. It knows no versions, no users, and not where a lesson comes from.

Others import the room's modules that `__all__` names; the door itself imports none of them: `config` is light, and most
of the others load torch.
"""

__all__ = ["config", "data", "data_loop", "lesson_loop", "rows", "student"]
