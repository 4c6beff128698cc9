"""The engine: from a user's correcting message to a verified version of the model.

`learn` chains the stages. Rooms, each with a door that says what it is and names what others may use: `author`, `sdft`,
`examiner`, `compute`. Knows nothing of terminal, web, database or settings.
"""
