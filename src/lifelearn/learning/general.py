"""Written data for what must not change: general questions, names to swap subjects with, and general text.

`KNOWN` pairs are asked before and after a lesson; `EVERYDAY` questions are replayed; the two never meet.
`TEXT` measures drift. Everything here was written for this project. Data only.
"""

from __future__ import annotations

# Common knowledge that the bundled model answers surely: the likeliest token leads by 0.75 nats or more up to the
# answer, so that rounding alone doesn't change it.
KNOWN: tuple[tuple[str, str], ...] = (
    ("What is the chemical symbol for water?", "H2O"),
    ("What is the capital of Japan?", "Tokyo"),
    ("What is the chemical symbol for oxygen?", "O"),
    ("What is the capital of England?", "London"),
    ("What is the opposite of black?", "white"),
    ("What is the capital of Russia?", "Moscow"),
    ("What is the chemical symbol for gold?", "Au"),
    ("What is the capital of Egypt?", "Cairo"),
    ("What is the capital of China?", "Beijing"),
    ("What is the capital of Canada?", "Ottawa"),
    ("What is the tallest mountain in the world?", "Everest"),
    ("What is the longest river in Africa?", "Nile"),
    ("What does CPU stand for?", "Central Processing Unit"),
    ("What is the largest ocean on Earth?", "Pacific"),
    ("In which country is the Eiffel Tower?", "France"),
    ("How many seconds are in a minute?", "60"),
)

EVERYDAY: tuple[str, ...] = (
    "How do I boil an egg?",
    "What is photosynthesis?",
    "Name a large river in Africa.",
    "What are the steps to change a tyre?",
    "Who painted the Mona Lisa?",
    "What is the largest planet?",
    "What does RAM stand for?",
    "What is the capital of Spain?",
    "Where is the Great Wall?",
    "When did the Second World War end?",
    "Which company makes the iPhone?",
    "How much does a cup of coffee cost?",
    "What is a meeting agenda?",
    "How do I write a good email?",
    "Who founded Microsoft?",
    "What is 7 plus 5?",
    "Which day comes after Tuesday?",
    "What is a firewall?",
    "How many cents are in a dollar?",
    "How many months are in a year?",
    "How long is a marathon?",
    "How tall is a giraffe?",
    "How much does a bicycle cost?",
    "What should I do before a job interview?",
    "How do I install an app on my phone?",
    "What language is spoken in Brazil?",
    "What is the capital of Germany?",
    "Who wrote Hamlet?",
    "How many days are in a week?",
    "What is the boiling point of water?",
    "Who was Albert Einstein?",
    "When is Christmas?",
    "What is the currency of Japan?",
    "How many hours do people usually work in a week?",
    "Where do penguins live?",
    "Who answers the phone at a company?",
    "What does the abbreviation FAQ mean?",
    "What is a falcon?",
    "Hello!",
)

# Subjects of each kind (relations.py), invented and real, to ask the same of somebody else.
SUBJECTS: dict[str, tuple[str, ...]] = {
    "person": ("Marie Curie", "John Miller", "Albert Einstein", "Maria Lopez", "Peter Novak", "Tom Hanks",
               "Anna Schmidt", "Pablo Picasso"),
    "organisation": ("Globex Inc", "Microsoft", "Siemens", "Initech", "Borealis Group", "Toyota",
                     "Harvard University", "Sony"),
    "work": ("Hamlet", "The Matrix", "Yesterday", "Titanic", "The Old Harbour", "Star Wars", "Silent River", "Macbeth"),
    "place": ("Brazil", "Paris", "Texas", "Kenya", "Lake Como", "Norway", "Chicago", "Bavaria"),
    "product": ("the iPhone", "the Atlas enterprise plan", "the Vega product", "the Ford Focus", "Windows 95",
                "the premium plan", "the Boeing 747", "the basic package"),
    "term": ("FAQ", "RAM", "NATO", "KPI", "HTML", "PDF", "CEO", "GDP"),
    "event": ("the weekly design review", "the summer party", "the board meeting", "Christmas", "the product demo",
              "the Olympics", "the sales call", "the kick-off"),
    "task": ("the reception desk", "the Vega support hotline", "the payroll", "the IT help desk", "the newsletter",
             "the website", "the warehouse", "the canteen"),
    "action": ("boil an egg", "change a tyre", "book a meeting room", "plant a tree", "reset a password",
               "paint a wall", "apply for a passport", "clean a bicycle"),
    "moment": ("I leave the office", "I go on holiday", "I send an invoice", "I cook dinner", "we sign a contract",
               "I go to bed", "I take the train", "we hire someone"),
}  # fmt: skip

# One word of a longer name is exchanged for one of these: the nearest neighbours a name can have.
WORDS: tuple[str, ...] = ("Globex", "Vega", "Atlas", "Miller", "Borealis", "Zenith", "Anna", "Kestrel")

TEXT: tuple[str, ...] = (
    "The museum opens at nine in the morning and closes at five, except on Mondays, when it stays closed all day.",
    "Rain fell for most of the week, and by Friday the river had risen high enough to flood the lower fields.",
    "She had planned to take the early train, but a long telephone call kept her at home until noon.",
    "The committee voted to postpone the decision until a second report on the costs is available.",
    "To make the dough, mix flour, water, salt and a little yeast, then let it rest in a warm place for an hour.",
    "Several studies have found that regular exercise improves sleep, although the effect differs between people.",
    "The new bridge will carry two lanes of traffic in each direction and a separate path for bicycles.",
    "He wrote the first version of the program in a single night and spent the next ten years improving it.",
    "Small companies often find it difficult to compete for experienced engineers in large cities.",
    "The court ruled that the contract was not valid because one of the parties had never signed it.",
    "When the lights went out, everyone in the theatre fell silent and waited for the music to begin.",
    "A function that calls itself needs a condition under which it stops, or it will never return.",
    "The price of copper rose sharply last month after a strike closed two of the largest mines.",
    "Children learn to speak by listening long before they can explain a single rule of grammar.",
    "The hotel sits on a hill above the harbour, ten minutes on foot from the old town.",
    "Most of the energy that reaches the surface of the earth from the sun is absorbed by the oceans.",
    "My grandmother kept a small garden behind the house where she grew beans, tomatoes and roses.",
    "The team lost its first three matches of the season but recovered to finish in fourth place.",
    "If the engine does not start, check the battery first and make sure that there is fuel in the tank.",
    "In the sixteenth century the town became an important centre for the trade in wool and cloth.",
    "Researchers asked two thousand adults how often they read the news and which sources they trusted.",
    "The letter arrived three weeks late, and by then the position had been given to someone else.",
    "Save a copy of the file before you change it, so that you can return to the earlier version.",
    "The orchestra will perform two symphonies and a short modern piece by a local composer.",
)
