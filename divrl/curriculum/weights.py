"""What a curriculum may return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from divrl.diversity.bonus import as_number
from divrl.errors import Problem, RecipeError


def normalised(given: object, names: Sequence[str], where: str) -> np.ndarray:
    """The shares of the domains, in their order.

    Raises:
        RecipeError: not a mapping from known domains to finite weights >= 0 with a sum > 0.
    """
    known = isinstance(given, Mapping) and set(given) <= set(names)
    numbers = [as_number(given.get(name, 0.0)) for name in names] if known and isinstance(given, Mapping) else [None]
    if any(number is None or number < 0 for number in numbers) or not sum(number or 0.0 for number in numbers):
        what = f"returned {given!r:.200} {where}"
        raise RecipeError([Problem("curriculum", what, f"weights >= 0, not all 0, for {', '.join(names)}")])
    values = np.array(numbers, dtype=float)
    return np.asarray(values / values.sum())
