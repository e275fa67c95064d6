"""From novelties to pay: gate, combine, and what each does to a group's rewards.

`G` siblings of one prompt have task rewards v in [0, 1] and are scored as one group. The gate decides who may be paid
for being different; novelty is measured among those alone, so that wrong answers neither earn by being rare nor
make right ones common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from divrl.errors import RewardError

CORRECT = 1.0 - 1e-6
Gate = Literal["none", "correct"] | float
Combine = Literal["add", "multiply", "rank", "advantage"]


@dataclass(frozen=True)
class Paid:
    """One group after the bonus: rewards, what is added to the advantages, and the novelties (None where gated out)."""

    rewards: list[float]
    advantage_shift: list[float]
    novelty: list[float | None]


def passes(value: float, gate: Gate) -> bool:
    """Whether a score opens the gate: always, at the full score of 1, or from a threshold on."""
    if gate == "none":
        return True
    return value >= (CORRECT if gate == "correct" else float(gate))


def checked(novelty: Sequence[float], size: int, name: str) -> list[float]:
    """The novelties of one group, if they keep the contract.

    Raises:
        RewardError: not one finite number in [0, 1] per text.
    """
    try:
        values = list(novelty)
    except TypeError:
        raise RewardError(f"metric {name} returned {novelty!r:.200}; expected one novelty per text") from None
    if len(values) != size:
        raise RewardError(f"metric {name}: {len(values)} novelties for a group of {size} texts")
    found: list[float] = []
    for i, value in enumerate(values):
        number = as_number(value)
        if number is None or not -1e-9 <= number <= 1 + 1e-9:
            raise RewardError(f"metric {name}: novelty {value!r:.200} of text {i}; expected a number in [0, 1]")
        found.append(min(1.0, max(0.0, number)))
    return found


def as_number(value: object) -> float | None:
    """A finite number (also a NumPy or 0-dimensional tensor one) as a float; None for anything else, text included."""
    if isinstance(value, str | bytes) or not hasattr(value, "__float__"):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def pay(
    texts: Sequence[str],
    values: Sequence[float],
    inside: Sequence[int],
    metric: Callable[[list[str]], Sequence[float]],
    *,
    name: str,
    weight: float,
    combine: Combine,
    floor: float | None = None,
) -> Paid:
    """Applies one bonus to one group.

    With u the novelties among the m siblings that pass the gate, and all others keeping r = v:

    - multiply: r = v * f^weight / mean(f^weight), f = floor + (1 - floor) * u. The mean factor is 1: with rewards of 0 and 1
      and the gate "correct", a group earns what it earned before and a right answer stays above a wrong one. With `format_rarity` and the default
      floor 1/m, f is proportional to 1 / n_format: every format present earns alike (weight 1), and at equilibrium the share
      of a format is proportional to accuracy^((1 - weight) / weight) for weight in (0, 1].
    - add: r = v + weight * (u - mean u).
    - rank: r = v * (1 - weight * rank / m), rank 0 for the most novel, ties sharing their mean rank (after He et al. 2025,
      arXiv:2506.02355, with novelty in place of likelihood).
    - advantage: r = v, and weight * (u - mean u) is added to the advantage after TRL has normalised it (Song et al. 2025,
      arXiv:2509.06941).

    Args:
        texts: the G completions of one prompt.
        values: their task rewards.
        inside: the indices of the siblings that pass the gate.
        metric: texts -> novelties in [0, 1].
        floor: for multiply, the factor of a novelty of 0; None means 1/m.

    Returns:
        Everything unchanged where fewer than two siblings pass, or weight is 0.

    Raises:
        RewardError: the metric raised or broke its contract, or rewards inside the gate are negative where they are scaled.
    """
    rewards, shift = [float(value) for value in values], [0.0] * len(values)
    novelty: list[float | None] = [None] * len(values)
    if len(inside) < 2:
        return Paid(rewards, shift, novelty)
    try:
        measured = metric([texts[i] for i in inside])
    except Exception as error:
        raise RewardError(f"metric {name} raised {type(error).__name__}: {error}") from error
    found = checked(measured, len(inside), name)
    for i, u in zip(inside, found, strict=True):
        novelty[i] = u
    if weight == 0:
        return Paid(rewards, shift, novelty)
    centre = sum(found) / len(found)
    if combine in ("multiply", "rank") and min(rewards[i] for i in inside) < 0:
        raise RewardError(f"metric {name}: combine {combine} scales rewards, which must be >= 0 inside the gate")
    match combine:
        case "multiply":
            low = 1 / len(inside) if floor is None else floor
            factors = [(low + (1 - low) * u) ** weight for u in found]
            mean = sum(factors) / len(factors)
            for i, factor in zip(inside, factors, strict=True):
                rewards[i] *= factor / mean
        case "add":
            for i, u in zip(inside, found, strict=True):
                rewards[i] += weight * (u - centre)
        case "rank":
            for i, u in zip(inside, found, strict=True):
                rank = sum(v > u for v in found) + (sum(v == u for v in found) - 1) / 2
                rewards[i] *= 1 - weight * rank / len(found)
        case "advantage":
            for i, u in zip(inside, found, strict=True):
                shift[i] = weight * (u - centre)
    return Paid(rewards, shift, novelty)
