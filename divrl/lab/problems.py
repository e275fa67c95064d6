"""Word problems of the lab: a start, two or three events, one number asked for.

A problem reads "tom has 7 pens . tom finds 3 more . it grows 2 times . how many ?". Every event is one
of ten phrases, and the phrase alone decides the operation, so that a format with a blind spot (see
`formats`) misreads one phrase and nothing else.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

NAMES = ("tom", "ann", "sam", "eve", "bob", "lily", "max", "zoe")
THINGS = ("pens", "books", "coins", "shells", "cards", "stones", "apples", "cups")
LARGEST = 40

# phrase -> (operation, words); {a} is the owner, {b} another person, {k} the number
PHRASES: dict[str, tuple[str, str]] = {
    "find": ("+", "{a} finds {k} more ."),
    "buy": ("+", "{a} buys {k} ."),
    "get": ("+", "{a} gets {k} ."),
    "send": ("+", "{b} sends {a} {k} ."),
    "lose": ("-", "{a} loses {k} ."),
    "give": ("-", "{a} gives {b} {k} ."),
    "sell": ("-", "{a} sells {k} ."),
    "drop": ("-", "{a} drops {k} ."),
    "break": ("-", "{k} of them break ."),
    "grow": ("*", "it grows {k} times ."),
}


@dataclass(frozen=True)
class Event:
    """One change of the count: the phrase that tells it, its operation and its number."""

    phrase: str
    operation: str
    number: int


@dataclass(frozen=True)
class Problem:
    """A problem in words, its events and its only right answer (an integer in [0, LARGEST])."""

    text: str
    start: int
    events: tuple[Event, ...]
    answer: int


def apply(value: int, operation: str, number: int) -> int:
    """One step of arithmetic; `operation` is one of "+", "-", "*".

    Raises:
        KeyError: any other operation.
    """
    return {"+": value + number, "-": value - number, "*": value * number}[operation]


def split_of(text: str, seed: int) -> str:
    """The split a prompt belongs to: "train" (80 %), "validation" (10 %) or "test" (10 %).

    It depends on the text and the seed alone, so a held-out prompt never enters a corpus or a training set
    however many are drawn.
    """
    bucket = hashlib.blake2b(f"{seed}:{text}".encode(), digest_size=4).digest()[0] % 10
    return "test" if bucket == 0 else "validation" if bucket == 1 else "train"


def draw(rng: random.Random, phrases: Sequence[str] = tuple(PHRASES)) -> Problem:
    """One random problem told in some of the phrases, whose running count stays in [0, LARGEST]."""
    while True:
        start = rng.randint(3, 9)
        value, events = start, []
        for phrase in rng.sample(phrases, rng.randint(2, 3)):
            operation = PHRASES[phrase][0]
            number = rng.randint(2, 3) if operation == "*" else rng.randint(2, 6)
            value = apply(value, operation, number)
            events.append(Event(phrase, operation, number))
            if not 0 <= value <= LARGEST:
                break
        else:
            owner, other = rng.sample(NAMES, 2)
            told = " ".join(PHRASES[e.phrase][1].format(a=owner, b=other, k=e.number) for e in events)
            text = f"{owner} has {start} {rng.choice(THINGS)} . {told} how many ?"
            return Problem(text, start, tuple(events), value)


def problems(
    split: str, seed: int, *, phrases: Sequence[str] = tuple(PHRASES), blind: frozenset[str] = frozenset()
) -> Iterator[Problem]:
    """Endless distinct problems of one split, the same for the same seed.

    Args:
        phrases: the phrases that events are told in.
        blind: phrases that some format misreads; a problem that contains all of them could be solved by no
            format and is left out.
    """
    rng, seen = random.Random(f"problems:{split}:{seed}"), set()
    while True:
        problem = draw(rng, phrases)
        hopeless = bool(blind) and blind <= {event.phrase for event in problem.events}
        if hopeless or problem.text in seen or split_of(problem.text, seed) != split:
            continue
        seen.add(problem.text)
        yield problem
