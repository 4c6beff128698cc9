"""People: how they register, sign in and keep their accounts; the way in and out of the workspace.

Stands above organisations, which know users as rows alone: who registers may make the first one or come by an invite,
and who goes leaves all. Knows nothing of chats and of what is learned.
"""
