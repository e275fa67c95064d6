"""Novelty of wording."""

from __future__ import annotations

from collections import Counter

__all__ = ["distinct_n", "ngram_novelty"]


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.lower().split()
    size = min(n, len(words))
    return list(zip(*(words[i:] for i in range(size)), strict=False)) if size else []


def ngram_novelty(texts: list[str], n: int = 3) -> list[float]:
    """Mean share of the other texts that lack an n-gram, over the n-grams of a text: 1 - (df - 1) / (G - 1).

    1: nobody else uses any of its n-grams; 0: everybody uses all of them. A text shorter than n words counts as one
    n-gram. An empty text, and a group of one, get 0. Does not grow with the length of a text.
    """
    size = len(texts)
    grams = [set(_ngrams(text, n)) for text in texts]
    frequency = Counter(gram for own in grams for gram in own)
    if size < 2:
        return [0.0] * size
    return [sum(1 - (frequency[gram] - 1) / (size - 1) for gram in own) / len(own) if own else 0.0 for own in grams]


def distinct_n(texts: list[str], n: int = 2) -> list[float]:
    """Share of a text's n-gram occurrences that are its own alone in the group (after distinct-n, Li et al. 2016).

    1: no n-gram of the text stands in any other; 0: every one does. Repeats within the text count against it:
    each n-gram counts once in the numerator. An empty text, and a group of one, get 0.
    """
    size = len(texts)
    grams = [_ngrams(text, n) for text in texts]
    frequency = Counter(gram for own in grams for gram in set(own))
    if size < 2:
        return [0.0] * size
    return [sum(frequency[gram] == 1 for gram in set(own)) / len(own) if own else 0.0 for own in grams]
