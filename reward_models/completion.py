"""The text of TRL's plain and conversational completions."""

from __future__ import annotations

from typing import TypeAlias

Completions: TypeAlias = list[str] | list[list[dict[str, str]]]


def texts(completions: Completions) -> list[str]:
    """The text of every completion; of a conversation, the last message's content."""
    return [c if isinstance(c, str) else (c[-1]["content"] or "" if c else "") for c in completions]
