"""The command line: chat, learn, train, versions, export, serve, worker, backup, restore, pull, bench and the like.

Commands are thin: they read the settings, open a session and hand over to `terminal/`, `workspace/` and
`bench/`. Nothing heavy is imported before a command needs it, hence the imports within functions.
"""

from lifelearn.cli.commands import app, main

__all__ = ["app", "main"]
