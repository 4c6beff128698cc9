"""What is written as rules of English: reading a message, taking a question apart, and saying it otherwise.

Pure text but for `wordings`, which asks a model too. Knows nothing of how its texts are dealt out. The lesson, the
bench and the workspace use `question`, `declarative`, `relations` and `reading` of it.
"""
