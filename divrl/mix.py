"""RewardMix: the terms and the bonus of each domain -> one number per completion, with the breakdown logged.

TRL's own weighting is global and additive, and counts a None as 0 as soon as another function returned a number. The
mix is therefore TRL's only reward function, and owns these semantics:

- A completion earns v = sum of weight * score over its domain's terms. Then the bonus is paid within the group.
- The gate of a bonus looks at the score of the domain's first term.
- A score of None (does not apply, or could not be judged) follows the domain's `on_failure`: `mask` leaves the completion
  out of the update, `drop_term` rescales the other terms, `group_mean` takes the mean of the siblings' scores.
- A reward that raises, or returns anything but a finite number or None, has failed for those completions: they count as
  None, and against the failure budget.
- Groups are whole: rows are gathered over all processes before the bonus (see `rollout`), every process computes the
  same numbers, and an error on one process is raised on all.
"""

from __future__ import annotations

import json
import math
import time
import traceback
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal, Protocol

from divrl.diversity.bonus import Combine, Gate, as_number, passes, pay
from divrl.errors import RewardError
from divrl.recipe import Weight, weight_at
from divrl.rollout import gather, groups
from divrl.types import Completion, Prompt, text_of


class TrainerState(Protocol):
    """The part of transformers' TrainerState that the mix reads."""

    global_step: int
    max_steps: int


OWN_STATISTICS = ("reward", "novelty", "masked", "failed")  # logged beside the terms of a domain


def _ignored(*arguments: object) -> None:
    """Stands in for log_metric and log_extra outside training."""


# what a reward that asks for the trainer gets where there is none: in `divrl check` and in evaluation
OUTSIDE_TRAINING: Mapping[str, Any] = {
    "trainer_state": SimpleNamespace(global_step=0, max_steps=1),
    "log_metric": _ignored,
    "log_extra": _ignored,
}


@dataclass(frozen=True)
class BoundTerm:
    """A reward function with its options, its weight, and the columns it takes (None: every one)."""

    name: str
    function: Callable[..., Sequence[float | None]]
    options: Mapping[str, Any] = field(default_factory=dict)
    weight: Weight = 1.0
    columns: frozenset[str] | None = None


@dataclass(frozen=True)
class BoundBonus:
    """A metric with its options bound, and how its novelties are paid."""

    name: str
    metric: Callable[[list[str]], Sequence[float]]
    weight: Weight = 1.0
    gate: Gate = "correct"
    combine: Combine = "multiply"
    floor: float | None = None


@dataclass(frozen=True)
class MixDomain:
    """What earns reward in one domain."""

    name: str
    terms: tuple[BoundTerm, ...]
    bonus: BoundBonus | None = None
    on_failure: Literal["mask", "drop_term", "group_mean"] = "mask"


@dataclass(frozen=True)
class Scored:
    """One completion before its group is looked at: scores per term (None: no score), and the first error met."""

    domain: str
    key: str
    text: str
    scores: tuple[float | None, ...]
    failures: int = 0
    error: str | None = None


def score_terms(
    domain: MixDomain, prompts: Sequence[Prompt], completions: Sequence[Completion], columns: Mapping[str, Sequence[Any]],
    **extra: Any,
) -> list[Scored]:  # fmt: skip
    """The scores of every term for completions of one domain, none of them combined yet.

    Args:
        columns: one list per column, as long as the completions.
        extra: passed on to functions that take them (trainer_state, log_metric, ...).
    """
    size = len(completions)
    table: list[tuple[float | None, ...]] = []
    failed, first = [0] * size, None
    for term in domain.terms:
        values, errors = _call(term, list(prompts), list(completions), columns, extra)
        table.append(tuple(values))
        for i, error in errors.items():
            failed[i] += 1
            first = first or f"reward {term.name!r} of domain {domain.name!r}, completion {i}: {error}"
    return [
        Scored(
            domain.name, json.dumps(prompts[i]), text_of(completions[i]), tuple(row[i] for row in table), failed[i],
            first if failed[i] else None,
        )
        for i in range(size)
    ]  # fmt: skip


def _call(
    term: BoundTerm, prompts: list[Prompt], completions: list[Completion], columns: Mapping[str, Sequence[Any]],
    extra: Mapping[str, Any],
) -> tuple[list[float | None], dict[int, str]]:  # fmt: skip
    """One term's scores, and what was wrong with those that failed, by index."""
    passed = {**columns, **extra}
    if term.columns is not None:
        passed = {name: value for name, value in passed.items() if name in term.columns}
    size = len(completions)
    try:
        values = list(term.function(prompts=prompts, completions=completions, **passed, **term.options))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})"
        return [None] * size, dict.fromkeys(range(size), message)
    if len(values) != size:
        raise RewardError(f"reward {term.name!r} returned {len(values)} scores for {size} completions")
    scores, errors = list[float | None](), dict[int, str]()
    for i, value in enumerate(values):
        if value is None:
            scores.append(None)
        elif (number := as_number(value)) is not None:
            scores.append(number)
        else:
            scores.append(None)
            errors[i] = f"{value!r:.200} is neither a finite number nor None"
    return scores, errors


def too_many_failed(rows: Sequence[Scored], budget: float) -> str:
    """The first error among scored completions, if more scores failed than the budget allows; else ""."""
    failed, asked = sum(row.failures for row in rows), sum(len(row.scores) for row in rows)
    return next(row.error for row in rows if row.error) or "" if failed > budget * asked else ""


def task_values(domain: MixDomain, scored: Sequence[Scored], progress: float) -> list[float | None]:
    """The task reward v of every completion of one group (or of one prompt's samples); None where it is masked."""
    weights = [weight_at(term.weight, progress) for term in domain.terms]
    columns = [[row.scores[t] for row in scored] for t in range(len(weights))]
    if domain.on_failure == "group_mean":
        for column in columns:
            judged = [score for score in column if score is not None]
            if judged:
                mean = sum(judged) / len(judged)
                column[:] = [mean if score is None else score for score in column]
    values: list[float | None] = []
    for i in range(len(scored)):
        parts = [(w, column[i]) for w, column in zip(weights, columns, strict=True)]
        judged_parts = [(w, score) for w, score in parts if score is not None]
        if not judged_parts or (len(judged_parts) < len(parts) and domain.on_failure != "drop_term"):
            values.append(None)
            continue
        present = sum(w for w, _ in judged_parts)
        scale = sum(weights) / present if len(judged_parts) < len(parts) and present else 1.0
        values.append(scale * sum(w * score for w, score in judged_parts))
    return values


class RewardMix:
    """TRL's reward function for a whole recipe.

    After each call `advantage_shift` holds, per local completion, what bonuses with `combine: advantage` add to the
    normalised advantages, and `seconds` what the call took; the trainer reads both.

    Args:
        domains: what earns reward in each domain.
        num_generations: siblings per prompt.
        columns: the columns of each domain's own rows; in a batch every row has those of all domains.
        failure_budget: the share of failed scores over the last `failure_window` calls that ends the run.
    """

    __name__ = "mix"

    def __init__(
        self,
        domains: Sequence[MixDomain],
        num_generations: int,
        failure_budget: float = 0.05,
        failure_window: int = 20,
        columns: Mapping[str, Collection[str]] | None = None,
    ):
        self.domains = {domain.name: domain for domain in domains}
        self.num_generations = num_generations
        self.failure_budget = failure_budget
        self.columns = columns
        self.all_masked = 0
        self.recent: deque[tuple[int, int]] = deque(maxlen=failure_window)
        self.advantage_shift: list[float] = []
        self.seconds = 0.0

    def __call__(
        self,
        prompts: list[Prompt],
        completions: list[Completion],
        domain: list[str],
        trainer_state: TrainerState | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """Rewards of the local completions; see the module's text for what they are.

        Raises:
            RewardError: on every process, if a reward on any of them broke its contract or the failure budget is spent.
        """
        begun = time.perf_counter()
        progress = trainer_state.global_step / max(1, trainer_state.max_steps) if trainer_state else 0.0
        local: list[Scored | RewardError]
        try:
            passed = {**OUTSIDE_TRAINING, "trainer_state": trainer_state, "log_metric": log_metric or _ignored}
            local = list(self._score(prompts, completions, domain, columns, passed))
        except RewardError as error:
            local = [error] * len(prompts)  # carried to every process, so that none is left waiting in a collective
        everything, own = gather(local)
        rows = [row for row in everything if isinstance(row, Scored)]
        if len(rows) < len(everything):
            raise next(row for row in everything if isinstance(row, RewardError))
        self._spend(rows)
        rewards: list[float | None] = [None] * len(rows)
        shift = [0.0] * len(rows)
        novelty: list[float | None] = [None] * len(rows)
        for group in groups(len(rows), self.num_generations, [(row.domain, row.key) for row in rows]):
            self._reward_group(rows, group, progress, rewards, shift, novelty)
        self.all_masked = 0 if any(reward is not None for reward in rewards) else self.all_masked + 1
        if self.all_masked >= (self.recent.maxlen or 1):
            raise RewardError(
                f"no completion of the last {self.all_masked} batches got a score; every reward gave None"
            )
        self.advantage_shift = shift[own]
        if log_metric:
            self._log(rows[own], rewards[own], novelty[own], log_metric)
        self.seconds = time.perf_counter() - begun
        return rewards[own]

    def _score(
        self, prompts: list[Prompt], completions: list[Completion], domain: list[str], columns: dict[str, Any],
        passed: Mapping[str, Any],
    ) -> list[Scored]:  # fmt: skip
        lists = {k: v for k, v in columns.items() if isinstance(v, list) and len(v) == len(prompts)}
        scored: list[Scored | None] = [None] * len(prompts)
        for name in dict.fromkeys(domain):
            index = [i for i, d in enumerate(domain) if d == name]
            own = self.columns[name] if self.columns else lists
            chosen = {k: [v[i] for i in index] for k, v in lists.items() if k in own or k == "completion_ids"}
            found = score_terms(
                self.domains[name], [prompts[i] for i in index], [completions[i] for i in index], chosen,
                **passed,
            )  # fmt: skip
            for i, row in zip(index, found, strict=True):
                scored[i] = row
        return [row for row in scored if row is not None]

    def _spend(self, rows: Sequence[Scored]) -> None:
        """Counts failed scores of this call and ends the run when too many have failed lately."""
        self.recent.append((sum(row.failures for row in rows), sum(len(row.scores) for row in rows)))
        failed, asked = (sum(column) for column in zip(*self.recent, strict=True))
        if failed > self.failure_budget * asked:
            first = next((row.error for row in rows if row.error), "an earlier step")
            raise RewardError(
                f"{failed} of the last {asked} scores failed, more than the budget of {self.failure_budget:.0%}; "
                f"first in this step: {first}"
            )

    def _reward_group(
        self, rows: list[Scored], group: range, progress: float, rewards: list[float | None], shift: list[float],
        novelty: list[float | None],
    ) -> None:  # fmt: skip
        domain = self.domains[rows[group.start].domain]
        values = task_values(domain, [rows[i] for i in group], progress)
        for i, value in zip(group, values, strict=True):
            rewards[i] = value
        bonus = domain.bonus
        if bonus is None:
            return
        judged = [(i, value) for i, value in zip(group, values, strict=True) if value is not None]
        paid = pay(
            [rows[i].text for i, _ in judged],
            [value for _, value in judged],
            [j for j, (i, _) in enumerate(judged) if passes(_gate_score(rows[i]), bonus.gate)],
            bonus.metric,
            name=bonus.name,
            weight=weight_at(bonus.weight, progress),
            combine=bonus.combine,
            floor=bonus.floor,
        )
        for j, (i, _) in enumerate(judged):
            rewards[i], shift[i], novelty[i] = paid.rewards[j], paid.advantage_shift[j], paid.novelty[j]

    def _log(
        self, rows: Sequence[Scored], rewards: Sequence[float | None], novelty: Sequence[float | None],
        log_metric: Callable[[str, float], None],
    ) -> None:  # fmt: skip
        """One value per completion, so that TRL's means over processes are exact."""
        for row, reward, new in zip(rows, rewards, novelty, strict=True):
            for term, score in zip(self.domains[row.domain].terms, row.scores, strict=True):
                if score is not None:
                    log_metric(f"mix/{row.domain}/{term.name}", score)
            log_metric(f"mix/{row.domain}/masked", float(reward is None))
            log_metric(f"mix/{row.domain}/failed", float(row.failures > 0))
            if reward is not None:
                log_metric(f"mix/{row.domain}/reward", reward)
            if new is not None:
                log_metric(f"mix/{row.domain}/novelty", new)


def _gate_score(row: Scored) -> float:
    first = row.scores[0]
    return -math.inf if first is None else first
