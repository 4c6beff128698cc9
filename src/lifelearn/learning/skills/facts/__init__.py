"""The facts that teach: one record a fact, in the files beside this one, and who may learn from which.

`records` reads them, `turns` what people say in chats; `checking` says what is wrong with a file, and docs/facts.md is
for who writes some. Knows no skill: what rows are made of a record is the skills'.
"""

__all__ = ["checking", "records", "turns"]
