"""What can go wrong, and the exit code each ends the process with.

    DivrlError                      70  a bug in divrl, if it is ever raised as itself
    |- RecipeError    (ValueError)   2  the recipe: every problem in it at once
    |- EnvironmentFault (RuntimeError) 3  the machine: a missing package, device, disk, a run folder in use
    |- DataError      (ValueError)   4  rows that cannot be used, each with where it stands
    |- RewardError    (RuntimeError) 5  a reward that broke its contract or failed too often
    `- CheckpointError (RuntimeError) 7  a checkpoint that is missing, incomplete or from another recipe

Signals end a run with 130 (SIGINT) or 143 (SIGTERM).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """The text without control characters and terminal escapes, which a completion could smuggle in."""
    return _ESCAPES.sub("", text)


@dataclass(frozen=True)
class Problem:
    """One mistake: where it stands, what is wrong, what was expected, and the nearest valid choice if there is one."""

    where: str
    what: str
    expected: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}"]
        if self.expected:
            parts.append(f"expected {self.expected}")
        text = "; ".join(parts)
        return f"{text} (did you mean {self.nearest!r}?)" if self.nearest else text


class DivrlError(Exception):
    """Base of all errors that divrl raises on purpose."""

    exit_code = 70


class _Listed(DivrlError):
    """An error that lists several problems at once."""

    def __init__(self, problems: Sequence[Problem] | str):
        self.problems = [Problem("recipe", problems)] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[_Listed], tuple[list[Problem]]]:
        return type(self), (self.problems,)


class RecipeError(_Listed, ValueError):
    """The recipe cannot be run as written."""

    exit_code = 2


class EnvironmentFault(DivrlError, RuntimeError):
    """The machine lacks something that the recipe needs."""

    exit_code = 3


class DataError(_Listed, ValueError):
    """Rows that cannot be used."""

    exit_code = 4


class RewardError(DivrlError, RuntimeError):
    """A reward or metric broke its contract, or could not judge too many completions."""

    exit_code = 5


class CheckpointError(DivrlError, RuntimeError):
    """No checkpoint to resume from, or one that does not fit the recipe."""

    exit_code = 7
