"""The lab's two domains as row sources for a recipe."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Literal

from divrl.lab import creative, formats, problems
from divrl.lab.corpus import blind_phrases
from divrl.lab.settings import PRESETS
from divrl.types import Row, Split

__all__ = ["lab_lines", "lab_problems"]


def lab_problems(
    split: Split,
    n: int = 192,
    seed: int = 0,
    heldout: int = 200,
    preset: Literal["default", "collapse", "tiny"] = "default",
) -> Iterator[Row]:
    """Word problems with columns `prompt`, `answer` and `gold` (a right solution, in code).

    Problems that contain every format's blind phrase are left out, as in the corpus.

    Args:
        n: problems in the training split.
        seed: of the world; use the base model's.
        heldout: problems in each of the other splits.
        preset: the world's, which decides the phrases; use the base model's.
    """
    world = PRESETS[preset]
    drawn = problems.problems(split, seed, phrases=world.phrases, blind=blind_phrases(world))
    for problem in itertools.islice(drawn, n if split == "train" else heldout):
        told = (event.phrase for event in problem.events)
        name = "calculator" if "grow" in told else "code"
        yield {"prompt": problem.text, "answer": str(problem.answer), "gold": formats.render(problem, name)}


def lab_lines(split: Split, n: int = 64, seed: int = 0) -> Iterator[Row]:
    """Creative prompts with columns `prompt`, `demands` (JSON: word, length) and `gold` (one valid line).

    Args:
        n: prompts at the most in any split; the training split has about 64, the others 8 each.
        seed: of the world; use the base model's.
    """
    import random

    rng = random.Random(seed)
    for prompt, word, length in creative.prompts(split, seed)[:n]:
        demands = json.dumps({"word": word, "length": length})
        yield {"prompt": prompt, "demands": demands, "gold": creative.line(rng, word, length)}
