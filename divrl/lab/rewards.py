"""The lab's verifiers, in TRL's reward signature."""

from __future__ import annotations

import json

from divrl.lab import creative, formats
from reward_models.completion import Completions, texts

__all__ = ["lab_solved", "lab_valid_line"]


def lab_solved(
    prompts: list[object], completions: Completions, answer: list[str], **kwargs: object
) -> list[float | None]:
    """1 if a completion is a well-formed solution in one of the lab's formats and its answer is right, else 0.

    Code is executed by the lab's own evaluator of += and -=; the other formats state their answer.

    Args:
        answer: column; the right answer.
    """
    return [float(formats.answer(text) == gold) for text, gold in zip(texts(completions), answer, strict=True)]


def lab_valid_line(
    prompts: list[object], completions: Completions, demands: list[str], **kwargs: object
) -> list[float | None]:
    """1 if a line has the asked length, contains the asked word and keeps the grammar, else 0.

    Args:
        demands: column; JSON with `word` and `length`.
    """
    asked = [json.loads(text) for text in demands]
    return [
        float(creative.valid(text, want["word"], want["length"]))
        for text, want in zip(texts(completions), asked, strict=True)
    ]
