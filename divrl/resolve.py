"""`use:` in a recipe -> the function it names, with its options checked against the function's signature.

A bare name is a public function of one of the modules listed in `BUILTIN`; a dotted path is any importable function
(the recipe's folder and the working directory are importable). Nothing is registered anywhere.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from divrl.errors import Problem, RecipeError

Function = Callable[..., typing.Any]

BUILTIN: dict[str, tuple[str, ...]] = {
    "reward": ("reward_models.math", "reward_models.format", "reward_models.text", "reward_models.gym", "divrl.lab.rewards"),
    "metric": ("divrl.diversity.lexical", "divrl.diversity.structural", "divrl.diversity.outcome"),
    "curriculum": ("divrl.curriculum.schedules",),
    "data": ("divrl.data.sources", "divrl.lab.domains"),
    "fingerprint": ("divrl.fingerprints",),
    "model": ("divrl.models",),
}  # fmt: skip


def nearest(name: str, choices: Iterable[str]) -> str:
    """The choice most like `name`, or "" if none is close."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.6)
    return found[0] if found else ""


def importable(*folders: Path) -> None:
    """Makes the modules in these folders importable, the first folder's before the others'."""
    for folder in reversed(folders):
        if str(folder) in sys.path:
            sys.path.remove(str(folder))
        sys.path.insert(0, str(folder))


def public_functions(module: ModuleType) -> dict[str, Function]:
    """The functions a module defines itself and lists in `__all__`, by name."""
    return {name: getattr(module, name) for name in module.__all__}


def builtin_functions(group: str) -> dict[str, Function]:
    """All built-in functions of one group, by bare name.

    Raises:
        KeyError: no such group.
    """
    found: dict[str, Function] = {}
    for name in BUILTIN[group]:
        found |= public_functions(importlib.import_module(name))
    return found


def resolve(name: str, group: str, where: str) -> Function:
    """The function a `use:` names.

    Raises:
        RecipeError: no built-in of that name, a module that cannot be imported, or something that is no function.
    """
    if "." not in name:
        functions = builtin_functions(group)
        if name not in functions:
            raise RecipeError(
                [Problem(where, f"there is no built-in {group} {name!r}", f"one of {', '.join(sorted(functions))}, or module.function", nearest(name, functions))]
            )  # fmt: skip
        return functions[name]
    module_name, _, attribute = name.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        reason = f"{type(error).__name__}: {error}"
        raise RecipeError([Problem(where, f"cannot import {module_name!r} ({reason})", "module.function")]) from error
    function = getattr(module, attribute, None)
    if not callable(function):
        names = [key for key, value in vars(module).items() if callable(value)]
        what = f"{module_name!r} has no function {attribute!r}"
        raise RecipeError([Problem(where, what, "module.function", nearest(attribute, names))])
    try:
        inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise RecipeError(
            [Problem(where, f"{name} has no signature to check options against", "a plain function")]
        ) from error
    return typing.cast(Function, function)


def named_parameters(function: Function) -> dict[str, inspect.Parameter]:
    """Parameters that can be given by name (no *args, no **kwargs)."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {n: p for n, p in inspect.signature(function).parameters.items() if p.kind not in variadic}


def takes_any_keyword(function: Function) -> bool:
    """Whether the function ends in **kwargs."""
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in inspect.signature(function).parameters.values())


def type_hints(function: Function) -> dict[str, typing.Any]:
    """Resolved annotations, or none at all where one of them names something that cannot be imported."""
    try:
        return typing.get_type_hints(function)
    except Exception:
        return {}


def bind_options(
    function: Function,
    options: Mapping[str, typing.Any],
    where: str,
    *,
    given: Iterable[str] = (),
) -> tuple[dict[str, typing.Any], list[Problem]]:
    """Checks options against a signature: unknown names, missing ones, wrong types.

    Args:
        given: parameters that divrl passes itself (prompts, texts, a dataset's columns, ...), which are no options.

    Returns:
        The options with strings turned into functions where a function is expected, and every problem found.
    """
    parameters, hints, given = named_parameters(function), type_hints(function), set(given)
    known = [name for name in parameters if name not in given]
    problems, bound = [], {}
    for name, value in options.items():
        here = f"{where}.{name}"
        if name not in known:
            expected = f"one of {', '.join(known)}" if known else "no options"
            problems.append(Problem(here, "no such option", expected, nearest(name, known)))
            continue
        hint = hints.get(name)
        if isinstance(value, str) and hint is not None and _is_callable(hint):
            try:
                bound[name] = resolve(value, "fingerprint", here)
            except RecipeError as error:
                problems += error.problems
        elif hint is not None and (mistake := type_mistake(value, hint)):
            problems.append(Problem(here, f"{value!r} does not fit", mistake))
        else:
            bound[name] = value
    for name in known:
        if parameters[name].default is inspect.Parameter.empty and name not in options:
            problems.append(
                Problem(where, f"{getattr(function, '__name__', 'the function')} needs the option {name!r}")
            )
    return bound, problems


def type_mistake(value: object, hint: typing.Any) -> str:
    """What was expected instead of `value`, or "" if it fits the annotation (or the annotation says nothing)."""
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        adapter = TypeAdapter(hint)
    except Exception:
        return ""
    try:
        adapter.validate_python(value, strict=not isinstance(value, list | dict))
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Input should be ").lower()
    return ""


def _is_callable(hint: typing.Any) -> bool:
    candidates = [hint, *typing.get_args(hint)]
    return any(typing.get_origin(c) is Callable or c is Callable for c in candidates)
