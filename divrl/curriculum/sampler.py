"""Which prompts a step trains on: draws by the curriculum's weights, in the order that TRL's trainer needs.

The draws are a pure function of (seed, batch number, recorded scores): every process draws the same, and a resumed run
draws what the interrupted one would have drawn. Within a domain, prompts are drawn without replacement until all
have been seen.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from torch.utils.data import Sampler

from divrl.curriculum.weights import normalised
from divrl.errors import RecipeError
from divrl.types import Scores

Weights = Callable[[float, Scores], Mapping[str, float]]


class CurriculumSampler(Sampler[int]):
    """Row indices in TRL's order: each prompt `num_generations` times, each batch of prompts `repeats` times.

    Args:
        rows: the row indices of each domain.
        weights: the curriculum.
        prompts_per_batch: prompts that are generated for together.
        num_generations: siblings per prompt.
        repeats: micro-steps that train on one generated batch.
        batches: generated batches in the whole training.
        start_batch: called at the start of each pass: the number of the first batch of the current epoch.
        seed: of the draws.
    """

    def __init__(
        self, rows: Mapping[str, Sequence[int]], weights: Weights, *, prompts_per_batch: int, num_generations: int,
        repeats: int, batches: int, start_batch: Callable[[], int], seed: int,
    ):  # fmt: skip
        self.rows = {name: list(indices) for name, indices in rows.items()}
        self.weights = weights
        self.prompts_per_batch = prompts_per_batch
        self.num_generations = num_generations
        self.repeats = repeats
        self.batches = batches
        self.start_batch = start_batch
        self.seed = seed
        self.batches_per_epoch = sum(map(len, self.rows.values())) // prompts_per_batch
        self._scores: list[tuple[int, dict[str, float]]] = []
        self._orders: dict[tuple[int, int], np.ndarray] = {}

    def record(self, batch: int, scores: Scores) -> None:
        """Tells the sampler the held-out scores measured when `batch` batches had been trained on."""
        self._scores = [entry for entry in self._scores if entry[0] != batch] + [(batch, dict(scores))]
        self._scores.sort(key=lambda entry: entry[0])

    def scores_for(self, batch: int) -> dict[str, float]:
        """The scores that the draw of `batch` may know: a dataloader fetches one batch ahead, so those up to batch - 2."""
        known = bisect_right(self._scores, max(0, batch - 2), key=lambda entry: entry[0])
        return {**dict.fromkeys(self.rows, math.nan), **(self._scores[known - 1][1] if known else {})}

    def shares(self, batch: int) -> np.ndarray:
        """The normalised weights of the domains at `batch`.

        Raises:
            RecipeError: the curriculum raised, or returned anything but weights.
        """
        try:
            given = self.weights(batch / max(1, self.batches), self.scores_for(batch))
        except Exception as error:
            raise RecipeError(f"curriculum raised {type(error).__name__} at batch {batch}: {error}") from error
        return normalised(given, list(self.rows), f"at batch {batch}")

    def counts(self, batch: int) -> np.ndarray:
        """Prompts per domain in `batch`: unbiased, and never more than one away from share * prompts (systematic sampling)."""
        offset = np.random.default_rng([self.seed, 0, batch]).random()
        edges = np.floor(np.cumsum(self.shares(batch)) * self.prompts_per_batch + offset + 1e-9)
        edges[-1] = self.prompts_per_batch
        edges = np.minimum(edges, self.prompts_per_batch)
        return np.diff(edges, prepend=0).astype(int)

    def prompts(self, batch: int, drawn: np.ndarray) -> list[int]:
        """The row indices of `batch`, given how many prompts of each domain were drawn before it."""
        chosen: list[int] = []
        for d, (name, count) in enumerate(zip(self.rows, self.counts(batch), strict=True)):
            rows = self.rows[name]
            for position in range(drawn[d], drawn[d] + count):
                order = self._order(d, position // len(rows))
                chosen.append(rows[order[position % len(rows)]])
        np.random.default_rng([self.seed, 2, batch]).shuffle(chosen)
        return chosen

    def _order(self, domain: int, turn: int) -> np.ndarray:
        if (domain, turn) not in self._orders:
            size = len(list(self.rows.values())[domain])
            self._orders[domain, turn] = np.random.default_rng([self.seed, 1, domain, turn]).permutation(size)
        return self._orders[domain, turn]

    def __iter__(self) -> Iterator[int]:
        start = self.start_batch()
        drawn = np.zeros(len(self.rows), dtype=int)
        for batch in range(start):
            drawn += self.counts(batch)
        for batch in range(start, start + self.batches_per_epoch):
            chosen = self.prompts(batch, drawn)
            drawn += self.counts(batch)
            for _ in range(self.repeats):
                for row in chosen:
                    yield from [row] * self.num_generations

    def __len__(self) -> int:
        return self.batches_per_epoch * self.prompts_per_batch * self.num_generations * self.repeats
