"""Domains with their rows: loaded once, checked against the rewards that read them, laid out for the trainer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from divrl.data.rows import mistake_in
from divrl.errors import DataError, Problem
from divrl.types import Domain, Row, Split

if TYPE_CHECKING:
    from datasets import Dataset

RESERVED = frozenset(
    {"domain", "completion", "completions", "completion_ids", "prompts", "trainer_state", "log_metric", "log_extra"}
)


def load_rows(domain: Domain, split: Split, limit: int | None = None) -> list[Row]:
    """The rows of one split.

    Raises:
        DataError: none, one without a usable prompt, or with a column of a name that divrl itself passes to rewards.
    """
    rows = list(islice(domain.rows(split), limit))
    where = f"domains.{domain.name} ({split})"
    problems = [Problem(f"{where} row {i}", m) for i, row in enumerate(rows) if (m := mistake_in(row))][:20]
    taken = sorted(RESERVED & {key for row in rows for key in row})
    problems += [
        Problem(where, f"the column {name!r} is one that divrl passes itself", "another name") for name in taken
    ]
    if not rows:
        problems.append(Problem(where, "no rows"))
    if problems:
        raise DataError(problems)
    return rows


def conversational(rows: Iterable[Row]) -> set[bool]:
    """Which kinds of prompt occur: True for lists of messages, False for plain text."""
    return {isinstance(row["prompt"], list) for row in rows}


def train_dataset(rows: Mapping[str, list[Row]]) -> tuple[Dataset, dict[str, list[int]]]:
    """All training rows as one dataset with a `domain` column, and the row indices of each domain.

    A column that a domain lacks is None there. Values that are neither text, number, boolean, None nor lists of these
    would have to share one type over all domains, so they are refused rather than silently changed.

    Raises:
        DataError: plain and conversational prompts together (TRL looks at one row per batch only), or a value of another type.
    """
    from datasets import Dataset

    every = [row | {"domain": name} for name, part in rows.items() for row in part]
    problems = []
    if len(conversational(every)) > 1:
        problems.append(
            Problem("domains", "some prompts are plain text and some are messages", "one kind in all domains")
        )
    names = list(dict.fromkeys(key for row in every for key in row))
    columns: dict[str, list[object]] = {name: [row.get(name) for row in every] for name in names}
    for name, values in columns.items():
        kinds = {type(value).__name__ for value in values if value is not None} - {"int", "float"}
        kinds |= {"number"} if any(type(value) in (int, float) for value in values) else set()
        if len(kinds) > 1:
            problems.append(
                Problem(
                    f"column {name!r}",
                    f"values of several types: {', '.join(sorted(kinds))}",
                    "one type in all domains",
                )
            )
    if problems:
        raise DataError(problems)
    indices: dict[str, list[int]] = {name: [] for name in rows}
    for i, row in enumerate(every):
        indices[str(row["domain"])].append(i)
    return Dataset.from_dict(columns), indices


def heldout_rows(domain: Domain, split: Split, limit: int) -> list[Row]:
    """Held-out rows of a domain, no prompt twice."""
    rows = load_rows(domain, split, limit)
    return list({json.dumps(row["prompt"]): row for row in rows}.values())
