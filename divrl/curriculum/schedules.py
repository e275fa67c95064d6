"""Built-in curricula: (progress, scores) -> weights of the domains. A curriculum of your own has the same signature.

`scores` holds every domain of the recipe, in its order, with the latest held-out score (NaN where none was measured).
A parameter named `kinds` receives {domain: "structured" | "creative"}.
"""

from __future__ import annotations

from divrl.types import Kind, Scores

__all__ = ["fixed", "structured_first", "uniform"]


def uniform(progress: float, scores: Scores) -> dict[str, float]:
    """Every domain alike, throughout."""
    return dict.fromkeys(scores, 1.0)


def fixed(progress: float, scores: Scores, weights: dict[str, float]) -> dict[str, float]:
    """The same weights throughout.

    Args:
        weights: one weight >= 0 per domain; a domain left out is not trained.
    """
    return {name: float(weights.get(name, 0.0)) for name in scores}


def structured_first(
    progress: float, scores: Scores, kinds: dict[str, Kind], switch: float = 0.5, replay: float = 0.1
) -> dict[str, float]:
    """Structured domains until `switch`, then creative ones, with a share of the draws kept for what came before.

    The order is that of Omni-Thinker (Li et al. 2025, arXiv:2507.14783): structured tasks lower entropy, creative ones
    raise it.

    Args:
        switch: progress at which the creative domains begin.
        replay: share of the draws that structured domains keep afterwards, in [0, 1].
    """
    first = [name for name in scores if kinds[name] == "structured"]
    then = [name for name in scores if kinds[name] == "creative"]
    if not first or not then:
        return uniform(progress, scores)
    early = progress < switch
    weights = dict.fromkeys(first, (1.0 if early else replay) / len(first))
    return weights | dict.fromkeys(then, (0.0 if early else 1.0 - replay) / len(then))
