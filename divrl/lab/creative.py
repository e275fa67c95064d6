"""The creative domain of the lab: "write 6 words about fox :", with many right answers, each verifiable.

A line is valid when it has the asked number of words, contains the asked word and keeps the grammar
D A* N V R? (P? D A* N)? (determiner, adjective, noun, verb, adverb, preposition).
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from functools import cache

from divrl.lab.problems import split_of

LEXICON: dict[str, tuple[str, ...]] = {
    "D": ("the", "a"),
    "A": ("old", "small", "red", "quiet", "wild", "cold", "bright", "slow"),
    "N": (
        "fox", "river", "moon", "bird", "tree", "king", "child", "wolf", "star", "ship", "cat", "wind",
        "stone", "rose", "snow", "road", "fish", "house", "bell", "cloud",
    ),
    "V": ("sees", "finds", "loves", "follows", "leaves", "sings", "calls", "waits"),
    "R": ("softly", "again", "slowly", "alone"),
    "P": ("near", "under", "with", "behind"),
}  # fmt: skip
LENGTHS = (4, 5, 6, 7)
PART_OF_SPEECH = {word: part for part, words in LEXICON.items() for word in words}
_GRAMMAR = re.compile(r"DA{0,2}NVR?(?:P?DA{0,2}N)?")


@cache
def skeletons(length: int) -> tuple[str, ...]:
    """Every part-of-speech skeleton of `length` words that the grammar allows, in a fixed order."""
    every = ("".join(parts) for parts in itertools.product("DANVRP", repeat=length))
    return tuple(s for s in every if _GRAMMAR.fullmatch(s))


def skeleton(text: str) -> str:
    """The part-of-speech skeleton of a line, e.g. "DANV"; "?" stands for a word outside the lexicon, "" for no words."""
    return "".join(PART_OF_SPEECH.get(word, "?") for word in text.split())


def fingerprint(text: str) -> str:
    """The template of a line: its skeleton if the grammar allows it, else "other"."""
    template = skeleton(text)
    return template if _GRAMMAR.fullmatch(template) else "other"


def valid(text: str, word: str, length: int) -> bool:
    """Whether a line keeps all three demands: `length` words, `word` among them, the grammar kept."""
    return len(text.split()) == length and word in text.split() and fingerprint(text) != "other"


def prompts(split: str, seed: int) -> list[tuple[str, str, int]]:
    """All (prompt, word, length) of one split, shuffled by the seed; about 80 in all splits together."""
    rows = [(f"write {n} words about {w} :", w, n) for w in LEXICON["N"] for n in LENGTHS]
    rows = [row for row in rows if split_of(row[0], seed) == split]
    random.Random(f"lines:{split}:{seed}").shuffle(rows)
    return rows


def line(rng: random.Random, word: str, length: int) -> str:
    """A valid line; earlier skeletons are likelier (weights 1, 1/2, 1/3, ...), so that a base model has habits to lose."""
    choices = skeletons(length)
    template = rng.choices(choices, [1 / (i + 1) for i in range(len(choices))])[0]
    words = [rng.choice(LEXICON[part]) for part in template]
    words[rng.choice([i for i, part in enumerate(template) if part == "N"])] = word
    return " ".join(words)


def lines(seed: int) -> Iterator[tuple[str, str]]:
    """Endless (prompt, valid line) pairs for a corpus, from training prompts only."""
    rng = random.Random(f"creative:{seed}")
    choices = prompts("train", seed)
    while True:
        prompt, word, length = rng.choice(choices)
        yield prompt, line(rng, word, length)
