"""Novelty of form: how rare a text's format is in its group."""

from __future__ import annotations

from collections import Counter

from divrl.fingerprints import outline
from divrl.types import Fingerprint

__all__ = ["format_rarity"]


def rarity(labels: list[str]) -> list[float]:
    """1 / n_c for the n_c members of a class, mapped onto [0, 1]: alone in its class 1, all in one class 0.

    (1 / n_c - 1 / G) / (1 - 1 / G). Its mean over a class falls as 1 / n_c, so that all classes together are worth the
    same whatever their size; a group of one gets 0. The inverse class size is that of Hu et al. 2026
    (arXiv:2601.08763) with exponent 1.
    """
    counts, size = Counter(labels), len(labels)
    if size < 2:
        return [0.0] * size
    return [(1 / counts[label] - 1 / size) / (1 - 1 / size) for label in labels]


def format_rarity(texts: list[str], fingerprint: Fingerprint = outline) -> list[float]:
    """How rare the format of each text is among the texts of its group; see `rarity` for the scale.

    Args:
        fingerprint: names a text's format; a domain's own fingerprint is passed where it has one.
    """
    return rarity([fingerprint(text) for text in texts])
