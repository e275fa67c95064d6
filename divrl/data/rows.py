"""What a usable row is, and which split it belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from divrl.errors import DataError, Problem
from divrl.types import Row, Split

SHOWN = 20
LONGEST_PROMPT = 1_000_000


def split_by_prompt(prompt: object, heldout: float) -> Split:
    """The split of a prompt: a hash of its text decides, so that it never changes when rows are added or reordered."""
    digest = hashlib.blake2b(json.dumps(prompt, sort_keys=True).encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    return "train" if place >= heldout else "validation" if place >= heldout / 2 else "test"


@dataclass(frozen=True)
class Unreadable:
    """Stands in place of a row that could not be read, and says why."""

    reason: str


def mistake_in(row: object) -> str:
    """What makes a row unusable, or "" if nothing does."""
    if isinstance(row, Unreadable):
        return row.reason
    if not isinstance(row, dict):
        return f"not a mapping but {type(row).__name__}"
    if "prompt" not in row:
        return f"no column 'prompt' (columns: {', '.join(map(str, row)) or 'none'})"
    prompt = row["prompt"]
    if isinstance(prompt, str):
        if not prompt.strip():
            return "an empty prompt"
        if "\0" in prompt:
            return "a NUL character in the prompt"
        if not _is_text(prompt):
            return "not valid UTF-8"
        return "" if len(prompt) <= LONGEST_PROMPT else f"a prompt of {len(prompt)} characters"
    if not isinstance(prompt, list) or not prompt:
        return f"prompt is neither text nor a list of messages but {prompt!r:.60}"
    for message in prompt:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str) or "role" not in message:
            return f"a message without role and content: {message!r:.60}"
    return ""


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # lone surrogates
        return False
    return True


def checked_rows(
    numbered: Iterable[tuple[str, object]], columns: dict[str, str] | None, on_bad_row: Literal["error", "drop"]
) -> list[Row]:
    """Usable rows, renamed.

    Args:
        numbered: (where it stands, row) pairs; `Unreadable` in place of a row says why it could not be read.
        columns: {name wanted: name there}.

    Raises:
        DataError: the bad rows (the first 20, and how many more), unless they are to be dropped; or no usable row at all.
    """
    good: list[Row] = []
    bad: list[Problem] = []
    for where, row in numbered:
        if isinstance(row, dict) and columns:
            missing = [name for name in columns.values() if name not in row]
            if missing:
                bad.append(Problem(where, f"no column {missing[0]!r}"))
                continue
            row = {k: v for k, v in row.items() if k not in columns.values()} | {k: row[v] for k, v in columns.items()}
        mistake = mistake_in(row)
        if mistake:
            bad.append(Problem(where, mistake))
        else:
            good.append(dict(row))  # type: ignore[call-overload]
    if bad and on_bad_row == "error":
        more = [Problem("data", f"and {len(bad) - SHOWN} more bad rows")] if len(bad) > SHOWN else []
        raise DataError(bad[:SHOWN] + more)
    if not good:
        raise DataError([*bad[:SHOWN], Problem("data", "no usable row")])
    return good
