"""The format monitor: which formats a model answers in, per epoch, on held-out prompts with fixed sampling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from divrl.evaluation.pass_at_k import OTHER, diversity_statistics, format_statistics
from divrl.evaluation.sampling import Sampling, sample_domain
from divrl.mix import MixDomain
from divrl.types import Domain, Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMALLEST_SHARE = 0.01  # formats rarer than this at the start do not count as the base model's


@dataclass
class FormatMonitor:
    """Measures the formats of every domain and remembers what they were at the start.

    Attributes:
        known: the base model's formats by domain; normalised entropies are relative to their number.
        start: the shares at the start, for the distance to the base.
        collapse: the epoch at which one format first had `collapse_share` of all samples, by domain.
    """

    domains: Sequence[Domain]
    mix: Sequence[MixDomain]
    rows: Mapping[str, Sequence[Row]]
    samples: int
    collapse_share: float
    sampling: Sampling
    known: dict[str, list[str]] = field(default_factory=dict)
    start: dict[str, dict[str, float]] = field(default_factory=dict)
    collapse: dict[str, float] = field(default_factory=dict)

    def measure(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, epoch: float) -> dict[str, Any]:
        """One row of `format/<domain>/<statistic>`; a collective on several processes.

        Statistics: share/<format>, accuracy/<format>, entropy and entropy_per_prompt (nats), both _normalised by log of the base
        model's number of formats, effective = exp(entropy), top, top_share, distance (total variation to the start,
        in [0, 1]), collapse_epoch (once there is one), score (mean task reward), valid, distinct_valid, template_entropy.
        """
        row: dict[str, Any] = {}
        for domain, mix in zip(self.domains, self.mix, strict=True):
            found = sample_domain(model, tokenizer, domain, mix, self.rows[domain.name], self.samples, self.sampling)
            statistics = format_statistics(found, self.known.get(domain.name))
            shares: dict[str, float] = statistics.pop("share")
            accuracy: dict[str, float] = statistics.pop("accuracy")
            if domain.name not in self.known:
                self.known[domain.name] = _formats(shares)
                self.start[domain.name] = {
                    n: s for n, s in shares.items() if n in self.known[domain.name] or s > SMALLEST_SHARE
                }
            if statistics["top_share"] >= self.collapse_share and domain.name not in self.collapse:
                self.collapse[domain.name] = epoch
            if domain.name in self.collapse:
                statistics["collapse_epoch"] = self.collapse[domain.name]
            statistics["distance"] = total_variation(shares, self.start[domain.name])
            statistics["score"] = nanmean(found.values.ravel().tolist())
            statistics |= diversity_statistics(found)
            prefix = f"format/{domain.name}"
            row |= {f"{prefix}/{name}": value for name, value in statistics.items()}
            for name in dict.fromkeys(
                [*self.known[domain.name], *(n for n, s in shares.items() if s > SMALLEST_SHARE)]
            ):
                row[f"{prefix}/share/{name}"] = shares.get(name, 0.0)
                if name in accuracy:
                    row[f"{prefix}/accuracy/{name}"] = accuracy[name]
        return row

    def restore(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Takes up the start and the collapse epochs from the rows that an interrupted run recorded."""
        for row in rows:
            for domain in self.domains:
                prefix = f"format/{domain.name}"
                shares = {
                    k.removeprefix(f"{prefix}/share/"): float(v)
                    for k, v in row.items()
                    if k.startswith(f"{prefix}/share/")
                }
                if shares and domain.name not in self.known:
                    self.known[domain.name] = _formats(shares)
                    self.start[domain.name] = shares
                if f"{prefix}/collapse_epoch" in row:
                    self.collapse.setdefault(domain.name, row[f"{prefix}/collapse_epoch"])

    def scores(self, row: Mapping[str, Any]) -> dict[str, float]:
        """The held-out score of every domain in a measured row, for the curriculum."""
        return {domain.name: float(row[f"format/{domain.name}/score"]) for domain in self.domains}


def _formats(shares: Mapping[str, float]) -> list[str]:
    return [name for name, share in shares.items() if share > SMALLEST_SHARE and name != OTHER]


def total_variation(shares: Mapping[str, float], start: Mapping[str, float]) -> float:
    """Half the sum of absolute differences: 0 for equal shares, 1 for none in common."""
    return 0.5 * sum(abs(shares.get(name, 0.0) - start.get(name, 0.0)) for name in {*shares, *start})


def nanmean(values: Sequence[float]) -> float:
    """The mean of what is not NaN; NaN if nothing is."""
    kept = [value for value in values if not math.isnan(value)]
    return sum(kept) / len(kept) if kept else math.nan
