"""A recipe's names -> the functions they name, with options bound; every mistake is collected, none raised early."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from divrl.errors import Problem, RecipeError
from divrl.mix import OWN_STATISTICS, BoundBonus, BoundTerm, MixDomain
from divrl.recipe import Bonus, DomainSpec, Recipe, Term, Use
from divrl.resolve import Function, bind_options, importable, named_parameters, nearest, resolve, takes_any_keyword
from divrl.types import Domain, Row, Scores, Split

FROM_TRAINER = frozenset(
    {"prompts", "completions", "completion_ids", "trainer_state", "log_metric", "log_extra", "environments"}
)


@dataclass(frozen=True)
class BoundRecipe:
    """A recipe with its functions in place of their names."""

    recipe: Recipe
    model: Callable[..., str]
    domains: tuple[Domain, ...]
    mix: tuple[MixDomain, ...]
    weights: Callable[[float, Scores], Mapping[str, float]]


def find(use: Use, group: str, where: str, problems: list[Problem]) -> Function | None:
    """The function a `Use` names, or None with the reason added to `problems`."""
    try:
        return resolve(use.use, group, where)
    except RecipeError as error:
        problems += error.problems
        return None


def _bound(
    use: Use, group: str, where: str, problems: list[Problem], passed: Iterable[str], injected: Mapping[str, Any]
) -> Function | None:
    """A function with its options bound; parameters named in `injected` get that value unless the recipe sets them."""
    function = find(use, group, where, problems)
    if function is None:
        return None
    parameters = named_parameters(function)
    extra = {name: value for name, value in injected.items() if name in parameters and name not in use.options}
    options, mistakes = bind_options(function, use.options, where, given=[*passed, *extra])
    problems += mistakes
    return partial(function, **extra, **options)


def _domain(name: str, spec: DomainSpec, injected: Mapping[str, Any], problems: list[Problem]) -> Domain | None:
    where = f"domains.{name}"
    fingerprint = _bound(spec.fingerprint, "fingerprint", f"{where}.fingerprint", problems, ("text",), {})
    rows = _bound(spec.data, "data", f"{where}.data", problems, ("split",), injected)
    if rows is None or fingerprint is None:
        return None
    source: Callable[[Split], Iterable[Row]] = rows
    return Domain(name, spec.kind, source, fingerprint)


def _term(where: str, name: str, term: Term, problems: list[Problem]) -> BoundTerm | None:
    here = f"{where}.terms.{name}"
    if name in OWN_STATISTICS:
        problems.append(Problem(here, "divrl logs a statistic of this name itself", "another name"))
    function = find(term, "reward", here, problems)
    if function is None:
        return None
    parameters = named_parameters(function)
    missing = [
        needed for needed in ("prompts", "completions") if needed not in parameters and not takes_any_keyword(function)
    ]
    if missing:
        expected = "TRL's signature f(prompts, completions, **columns)"
        problems.append(Problem(here, f"{term.use} takes no {' and no '.join(missing)}", expected))
        return None
    # what is neither given by the recipe nor by the trainer must be a column: that is checked once the rows are known
    columns = [n for n in parameters if n not in FROM_TRAINER and n not in term.options]
    options, mistakes = bind_options(function, term.options, here, given=[*FROM_TRAINER, *columns])
    for mistake in mistakes:
        known = [n for n in parameters if n not in FROM_TRAINER]
        bad = mistake.where.rpartition(".")[2]
        unknown = mistake.what == "no such option"
        problems.append(
            Problem(mistake.where, mistake.what, f"one of {', '.join(known)}", nearest(bad, known))
            if unknown and known
            else mistake
        )
    taken = None if takes_any_keyword(function) else frozenset(parameters)
    return BoundTerm(name, function, options, term.weight, taken)


def _bonus(where: str, spec: Bonus, fingerprint: Function | None, problems: list[Problem]) -> BoundBonus | None:
    injected = {"fingerprint": fingerprint} if fingerprint else {}
    metric = _bound(spec.metric, "metric", f"{where}.bonus.metric", problems, ("texts",), injected)
    if metric is None:
        return None
    return BoundBonus(spec.metric.use, metric, spec.weight, spec.gate, spec.combine, spec.floor)


def bind(recipe: Recipe, folder: Path) -> tuple[BoundRecipe | None, list[Problem]]:
    """Resolves everything a recipe names.

    Args:
        folder: the recipe's own; its modules are importable and its paths relative to it.

    Returns:
        The bound recipe, or None with every mistake found. A parameter named `seed` gets the recipe's seed and one named
        `folder` its folder, unless the recipe sets it.
    """
    importable(folder, Path.cwd())
    problems: list[Problem] = []
    injected = {"seed": recipe.seed, "folder": folder}
    domains, mix = [], []
    for name, spec in recipe.domains.items():
        where = f"domains.{name}"
        domain = _domain(name, spec, injected, problems)
        terms = [_term(where, key, term, problems) for key, term in spec.terms.items()]
        own = domain.fingerprint if domain and "fingerprint" in spec.model_fields_set else None
        bonus = _bonus(where, spec.bonus, own, problems) if spec.bonus else None
        whole = [term for term in terms if term]
        if domain and len(whole) == len(terms):
            domains.append(domain)
            mix.append(MixDomain(name, tuple(whole), bonus, spec.on_failure))
    model = _bound(recipe.model, "model", "model", problems, ("progress",), injected)
    kinds = {name: spec.kind for name, spec in recipe.domains.items()}
    curriculum = _bound(
        recipe.curriculum, "curriculum", "curriculum", problems, ("progress", "scores"), {"kinds": kinds}
    )
    named = recipe.curriculum.options.get("weights", {})
    for name in named if isinstance(named, dict) else ():
        if name not in recipe.domains:
            problems.append(
                Problem(
                    f"curriculum.weights.{name}",
                    "no such domain",
                    f"one of {', '.join(recipe.domains)}",
                    nearest(name, recipe.domains),
                )
            )
    if problems or model is None or curriculum is None:
        return None, problems
    if recipe.model.use == "lab":
        from divrl.models import lab_settings

        try:
            lab_settings(**recipe.model.options)
        except RecipeError as error:
            return None, error.problems
    return BoundRecipe(recipe, model, tuple(domains), tuple(mix), curriculum), []
