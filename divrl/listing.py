"""What a recipe can name: built-in functions with their options and first sentence, and the shipped recipes."""

from __future__ import annotations

import inspect
from pathlib import Path

from divrl.resolve import builtin_functions, named_parameters

PASSED = frozenset({"prompts", "completions", "texts", "text", "progress", "scores", "split", "folder", "kinds"})


def first_sentence(function: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def listed(group: str) -> list[tuple[str, str]]:
    """(name, options and first sentence) of every built-in function of a group, sorted by name."""
    rows = []
    for name, function in sorted(builtin_functions(group).items()):
        options = []
        for key, parameter in named_parameters(function).items():
            if key in PASSED:
                continue
            if parameter.default is parameter.empty:
                options.append(f"{key} (column)" if group == "reward" else key)
            else:
                options.append(
                    key if parameter.default is None or callable(parameter.default) else f"{key}={parameter.default}"
                )
        told = f"  [{', '.join(options)}]" if options else ""
        rows.append((name, first_sentence(function) + told))
    return rows


def recipes() -> list[tuple[str, str]]:
    """(path, first comment) of every recipe in ./recipes."""
    found = []
    for path in sorted(Path("recipes").rglob("*.yaml")):
        first = path.read_text(encoding="utf-8").partition("\n")[0]
        found.append((str(path), first.removeprefix("#").strip() if first.startswith("#") else ""))
    return found
