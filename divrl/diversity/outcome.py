"""Novelty of the result: how rare a text's answer is in its group."""

from __future__ import annotations

from collections.abc import Callable

from divrl.diversity.structural import rarity
from reward_models.math import final_answer

__all__ = ["answer_rarity"]


def answer_rarity(texts: list[str], answer: Callable[[str], str | None] = final_answer) -> list[float]:
    """How rare the final answer of each text is in its group (Song et al. 2025, arXiv:2509.06941, per batch).

    The scale is that of `structural.rarity`. Texts without an answer count as one class.

    Args:
        answer: text -> its answer; by default the last boxed, marked or stated one.
    """
    return rarity([answer(text) or "" for text in texts])
