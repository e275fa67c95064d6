"""Verifiable demands on free text, each a plain TRL reward function.

Every function takes plain or conversational completions. The range is [0, 1]; 1 means that every demand is kept.
An empty completion keeps no demand and scores 0.
"""

from __future__ import annotations

import re

from reward_models.completion import Completions, texts

__all__ = ["constraints"]

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_SENTENCE_END = re.compile(r"[.!?]+(?:\s|$)")


def _share_kept(text: str, demands: list[bool]) -> float:
    return sum(demands) / len(demands) if demands and text.strip() else 0.0


def constraints(
    prompts: list[object],
    completions: Completions,
    *,
    include: list[list[str] | str | None] | None = None,
    avoid: list[list[str] | str | None] | None = None,
    words: list[int | None] | None = None,
    lines: list[int | None] | None = None,
    sentences: list[int | None] | None = None,
    all_or_nothing: bool = False,
    **kwargs: object,
) -> list[float | None]:
    """Share of a row's demands that a text keeps (after IFEval, Zhou et al. 2023, arXiv:2311.07911).

    Args:
        include: column; words that must occur (whole words, letter case ignored), a list or one string per row.
        avoid: column; words that must not occur.
        words: column; the exact number of words.
        lines: column; the exact number of lines that are not blank.
        sentences: column; the exact number of sentences.
        all_or_nothing: 1 only if every demand is kept, else 0.

    Returns:
        One score per completion: in [0, 1]; None for a row without any demand; 0 for an empty text.
    """
    scores: list[float | None] = []
    for i, text in enumerate(texts(completions)):
        found = [word.lower() for word in _WORD.findall(text)]
        demands = [word.lower() in found for word in _listed(include, i)]
        demands += [word.lower() not in found for word in _listed(avoid, i)]
        counts = (
            (words, len(found)),
            (lines, sum(bool(row.strip()) for row in text.splitlines())),
            (sentences, len(_SENTENCE_END.findall(text))),
        )
        for column, count in counts:
            asked = column[i] if column is not None else None
            if asked is not None:
                demands.append(count == asked)
        if not demands:
            scores.append(None)
            continue
        share = _share_kept(text, demands)
        scores.append(float(share == 1) if all_or_nothing else share)
    return scores


def _listed(column: list[list[str] | str | None] | None, i: int) -> list[str]:
    value = column[i] if column is not None else None
    return [value] if isinstance(value, str) else list(value or [])
