"""Three small skills with exact scoring: call a tool, convert units in a house style, read an order as JSON.

Each is a pair of pure functions: `make` gives a prompt, its demonstration and what is right, from random numbers;
`right` says of a free answer whether format and content are right. There are no partial scores. What a held-out prompt
is about (names, places, things, numbers) never occurs in a training prompt; wordings and units are shared.
All of it was written for this project.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Wanted = dict[str, Any]

CITIES = ("Lisbon", "Oslo", "Vienna", "Dublin", "Prague", "Athens", "Madrid", "Rome", "Boston", "Cairo", "Berlin",
          "Paris", "Tokyo", "London", "Chicago", "Warsaw", "Seoul", "Delhi")  # fmt: skip
PEOPLE = ("Anna", "Peter", "Maria", "Tom", "Julia", "Paul", "Sara", "David", "Laura", "Simon", "Emma", "Mark",
          "Nina", "Lucas", "Helen", "Oscar", "Alice", "Robert")  # fmt: skip
DAYS = ("Monday", "Thursday", "Sunday", "Tuesday", "Wednesday", "Friday", "Saturday")
DISHES = ("pasta", "eggs", "soup", "rice", "cake", "tea", "bread", "potatoes", "pizza", "stew", "chicken", "beans",
          "cookies", "fish", "pie")  # fmt: skip
NEWS = ("the train is late", "the door is open", "dinner is ready", "the meeting starts at nine", "the car is fixed",
        "the shop is closed", "the keys are here", "it is raining", "the bus has left", "lunch is at noon",
        "the parcel has arrived", "the lights are on", "the game is over", "the report is done",
        "the dog is asleep")  # fmt: skip
ITEMS = ("lamps", "chairs", "books", "cups", "pens", "tables", "shirts", "boxes", "plates", "bottles", "mirrors",
         "clocks", "towels", "candles", "blankets", "brushes", "baskets", "ladders")  # fmt: skip
# Long and short names, how many of the smaller make one of the larger.
UNITS = (
    ("kilometres", "km", "metres", "m", 1000),
    ("metres", "m", "centimetres", "cm", 100),
    ("kilograms", "kg", "grams", "g", 1000),
    ("litres", "l", "millilitres", "ml", 1000),
    ("centimetres", "cm", "millimetres", "mm", 10),
)


@dataclass(frozen=True)
class Task:
    """What is asked, how it is to be answered, and what the scorer compares with."""

    prompt: str
    demonstration: str
    wanted: Wanted


@dataclass(frozen=True)
class Skill:
    """`make` draws a task, of training or (True) held out; `right` scores an answer to it."""

    name: str
    make: Callable[[random.Random, bool], Task]
    right: Callable[[Wanted, str], bool]

    def tasks(self, count: int, seed: int, held_out: bool) -> list[Task]:
        """So many different tasks, the same for a seed."""
        rng = random.Random(f"{seed} {self.name} {held_out}")
        found: dict[str, Task] = {}
        for _ in range(100 * count):
            task = self.make(rng, held_out)
            found[task.prompt] = task
            if len(found) == count:
                return list(found.values())
        raise ValueError(f"There are no {count} different tasks of the skill {self.name}; {len(found)} were found.")


def call_tool(rng: random.Random, held_out: bool) -> Task:
    kind = rng.choice(("timer", "weather", "message"))
    if kind == "timer":
        minutes, dish = number(rng, 60, held_out), rng.choice(part(DISHES, held_out))
        prompt = rng.choice(("Set a timer of {} minutes for the {}.", "The {1} needs {0} minutes, start a timer."))
        return _call(prompt.format(minutes, dish), "timer", minutes=minutes, label=dish)
    if kind == "weather":
        city, day = rng.choice(part(CITIES, held_out)), rng.choice(DAYS)
        prompt = rng.choice(("Will it rain in {} on {}?", "What is the weather on {1} in {0}?"))
        return _call(prompt.format(city, day), "weather", city=city, day=day)
    person, news = rng.choice(part(PEOPLE, held_out)), rng.choice(part(NEWS, held_out))
    prompt = rng.choice(("Tell {} that {}.", "Send {} a message: {}."))
    return _call(prompt.format(person, news), "message", to=person, text=news)


def called(wanted: Wanted, answer: str) -> bool:
    """Whether the answer is this call and nothing else: @tool(name=value, …), texts in double quotes."""
    whole = re.fullmatch(r"@(\w+)\((.*)\)", answer.strip())
    if whole is None:
        return False
    argument = r'(\w+)=("[^"]*"|\d+)'
    if not re.fullmatch(rf"{argument}(, ?{argument})*", whole[2]):
        return False
    found = re.findall(argument, whole[2])
    given = {name: json.loads(value) for name, value in found}
    return len(found) == len(given) and {"tool": whole[1], **given} == wanted


def convert_units(rng: random.Random, held_out: bool) -> Task:
    large, large_short, small, small_short, factor = rng.choice(UNITS)
    count = number(rng, 100, held_out)
    prompt = rng.choice(("How many {1} are {2} {0}?", "Convert {2} {0} to {1}.", "What is {2} {0} in {1}?"))
    answer = f"[{count} {large_short} = {count * factor} {small_short}]"
    return Task(prompt.format(large, small, count), answer, {"answer": answer})


def converted(wanted: Wanted, answer: str) -> bool:
    """Whether the answer is the equation in brackets, short units and plain digits, and nothing else."""
    return answer.strip() == str(wanted["answer"])


def read_order(rng: random.Random, held_out: bool) -> Task:
    person, city = rng.choice(part(PEOPLE, held_out)), rng.choice(part(CITIES, held_out))
    count, item = number(rng, 60, held_out), rng.choice(part(ITEMS, held_out))
    prompt = rng.choice(
        ("{0} in {1} orders {2} {3}.", "{2} {3} for {0}, to be sent to {1}.", "We ship {2} {3} to {1}, paid by {0}.")
    )
    wanted = {"item": item, "count": count, "city": city}
    return Task(prompt.format(person, city, count, item), json.dumps(wanted), wanted)


def read(wanted: Wanted, answer: str) -> bool:
    """Whether the answer is a JSON object with these fields and values, of these types, and nothing else."""
    try:
        given = json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return given == wanted and type(given["count"]) is int


def _call(prompt: str, tool: str, **arguments: str | int) -> Task:
    told = ", ".join(f"{name}={json.dumps(value)}" for name, value in arguments.items())
    return Task(prompt, f"@{tool}({told})", {"tool": tool, **arguments})


def part(words: Sequence[str], held_out: bool) -> Sequence[str]:
    """Every third word is held out."""
    return [word for index, word in enumerate(words) if (index % 3 == 0) == held_out]


def number(rng: random.Random, below: int, held_out: bool) -> int:
    """From 2; every third number is held out."""
    return rng.choice([count for count in range(2, below) if (count % 3 == 0) == held_out])


SKILLS: tuple[Skill, ...] = (
    Skill("tool call", call_tool, called),
    Skill("units", convert_units, converted),
    Skill("order as JSON", read_order, read),
)
