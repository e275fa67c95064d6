"""Domains with their rows: loaded once, checked against the rewards that read them, laid out for the trainer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

from divrl.data.rows import mistake_in
from divrl.errors import DataError, DivrlError, Problem
from divrl.types import Domain, Row, Split

if TYPE_CHECKING:
    from datasets import Dataset

RESERVED = frozenset(
    {"domain", "completion", "completions", "completion_ids", "prompts", "trainer_state", "log_metric", "log_extra"}
)


def load_rows(domain: Domain, split: Split, limit: int | None = None) -> list[Row]:
    """The rows of one split.

    Raises:
        DataError: none, one without a usable prompt, a column of a name that divrl itself passes to rewards, or a value
            that a table would change.
    """
    where = f"domains.{domain.name} ({split})"
    try:
        rows = list(islice(domain.rows(split), limit))
    except DivrlError:
        raise
    except Exception as error:
        raise DataError(
            [Problem(where, f"its rows raised {type(error).__name__}: {error}", "dicts with a prompt")]
        ) from error
    problems = [Problem(f"{where} row {i}", m) for i, row in enumerate(rows) if (m := mistake_in(row))][:20]
    if problems:
        raise DataError(problems)
    taken = sorted(RESERVED & {key for row in rows for key in row})
    for name in dict.fromkeys(key for row in rows for key in row if key != "prompt"):
        bad = next((i for i, row in enumerate(rows) if name in row and not _storable(row[name])), None)
        if bad is not None:
            what = f"the column {name!r} holds {rows[bad][name]!r:.60}"
            problems.append(
                Problem(
                    f"{where} row {bad}",
                    what,
                    "text, a number, a boolean, None, or a list of one of these; nest as JSON text",
                )
            )
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

    A column that a domain lacks is None there.

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
    try:
        return Dataset.from_dict(columns), indices
    except Exception as error:
        raise DataError(
            [Problem("domains", f"the columns fit no table ({error!s:.200})", "one type per column")]
        ) from error


def _storable(value: object) -> bool:
    """Whether a table holds the value unchanged, whatever other domains put into the same column."""
    if isinstance(value, list):
        kinds = {type(item) for item in value}
        return len(kinds) <= 1 and not kinds & {list, dict} and all(map(_storable, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    if isinstance(value, str):
        return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)
    return value is None or isinstance(value, bool | float)


def heldout_rows(domain: Domain, split: Split, limit: int) -> list[Row]:
    """Held-out rows of a domain, no prompt twice."""
    rows = load_rows(domain, split, limit)
    return list({json.dumps(row["prompt"]): row for row in rows}.values())
