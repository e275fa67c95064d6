"""Everything that can be known about a recipe before a model is loaded, cheapest first, all mistakes at once."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from divrl.bind import FROM_TRAINER, BoundRecipe, bind
from divrl.curriculum.weights import normalised
from divrl.data.domains import conversational, load_rows
from divrl.diversity.bonus import checked as checked_novelty
from divrl.errors import DataError, Problem, RecipeError, RewardError
from divrl.mix import OUTSIDE_TRAINING, MixDomain, score_terms
from divrl.recipe import Recipe, load_content, parse_recipe
from divrl.resolve import named_parameters, takes_any_keyword
from divrl.trainer_fields import Batch, batch_of, field_problems
from divrl.types import Domain, Row

PLACEHOLDERS: dict[str, Any] = {
    "name": "unnamed",
    "kind": "structured",
    "model": "placeholder",
    "data": {"use": "lab_lines"},
}
GOLD_COLUMNS = ("gold", "solution", "answer")


@dataclass(frozen=True)
class GoldScore:
    """What one term gave the gold answer of one row."""

    domain: str
    term: str
    score: float | None
    shown: str


@dataclass
class Checked:
    """A recipe that can be run: bound, with the rows of its training split and the arithmetic of its batches."""

    bound: BoundRecipe
    rows: dict[str, list[Row]]
    batch: Batch
    gold: list[GoldScore] = field(default_factory=list)
    unused: dict[str, list[str]] = field(default_factory=dict)


def check_recipe(path: str | Path, overrides: list[str] | None = None, *, score_gold: bool = True) -> Checked:
    """Checks a recipe and scores two real rows of every domain through its real rewards.

    Raises:
        RecipeError: every mistake in the recipe, the functions it names, its trainer section and its columns.
        DataError: rows that cannot be used.
    """
    path = Path(path)
    content, problems = load_content(path, overrides)
    recipe, problems = _form(content, problems)
    trainer = content.get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    problems += field_problems(trainer)
    batch, mistakes = batch_of(trainer)
    known = {problem.where for problem in problems}
    problems += [mistake for mistake in mistakes if mistake.where not in known]
    bound = None
    if recipe is not None:
        bound, mistakes = bind(recipe, path.resolve().parent)
        problems += mistakes
    if problems or bound is None or batch is None:
        raise RecipeError(problems)
    rows = load_all(bound.domains)
    checked = Checked(bound, rows, batch)
    problems = _columns(checked)
    if sum(map(len, rows.values())) < batch.prompts_per_batch:
        total = sum(map(len, rows.values()))
        problems.append(
            Problem("domains", f"{total} training prompts do not fill one batch", f"at least {batch.prompts_per_batch}")
        )
    problems += _tried(checked)
    if not problems and score_gold:
        problems = _gold(checked)
    if problems:
        raise RecipeError(problems)
    return checked


def _tried(checked: Checked) -> list[Problem]:
    """Calls the curriculum, the metrics and the fingerprints once, so that what cannot work is known now."""
    problems: list[Problem] = []
    names = [domain.name for domain in checked.bound.domains]
    for progress, score in ((0.0, math.nan), (0.0, 0.5), (0.5, 0.5), (1.0, 1.0)):
        try:
            given = checked.bound.weights(progress, dict.fromkeys(names, score))
            normalised(given, names, f"at progress {progress:g}")
        except RecipeError as error:
            problems += error.problems
            break
        except Exception as error:
            what = f"raised {type(error).__name__}: {error}"
            problems.append(Problem("curriculum", what, "f(progress, scores) -> weights"))
            break
    for domain, mix in zip(checked.bound.domains, checked.bound.mix, strict=True):
        texts = [str(row.get(name, "")) for row in checked.rows[domain.name][:2] for name in ("prompt", *GOLD_COLUMNS)]
        try:
            for text in texts:
                domain.fingerprint(text)
        except Exception as error:
            what = f"raised {type(error).__name__}: {error}"
            problems.append(Problem(f"domains.{domain.name}.fingerprint", what, "f(text) -> the name of its format"))
        if mix.bonus:
            try:
                checked_novelty(mix.bonus.metric(texts), len(texts), mix.bonus.name)
            except RewardError as error:
                problems.append(Problem(f"domains.{domain.name}.bonus.metric", str(error)))
            except Exception as error:
                what = f"raised {type(error).__name__}: {error}"
                problems.append(Problem(f"domains.{domain.name}.bonus.metric", what, "f(texts) -> novelties"))
    return problems


def load_all(domains: Iterable[Domain]) -> dict[str, list[Row]]:
    """The training rows of every domain.

    Raises:
        DataError: with the bad rows of all domains.
    """
    rows, problems = {}, []
    for domain in domains:
        try:
            rows[domain.name] = load_rows(domain, "train")
        except DataError as error:
            problems += [
                Problem(
                    f"domains.{domain.name}: {p.where}" if not p.where.startswith("domains") else p.where,
                    p.what,
                    p.expected,
                    p.nearest,
                )
                for p in error.problems
            ]
    if not problems and len({kind for part in rows.values() for kind in conversational(part)}) > 1:
        problems.append(
            Problem("domains", "some prompts are plain text and some are messages", "one kind in all domains")
        )
    if problems:
        raise DataError(problems)
    return rows


def _form(content: dict[str, Any], problems: list[Problem]) -> tuple[Recipe | None, list[Problem]]:
    """The recipe, or as much of it as can still be looked at, and the mistakes of form.

    What is wrong is cut out (and what is missing filled with a placeholder) until the rest is well formed, so that the
    functions named elsewhere are checked in the same answer.
    """
    try:
        return parse_recipe(content, problems), []
    except RecipeError as error:
        problems = list(error.problems)
    rest = copy.deepcopy(content)
    for _ in range(8):
        try:
            return Recipe.model_validate(rest), problems
        except ValidationError as error:
            for item in error.errors():
                _mend(rest, list(item["loc"]), item["type"])
    return None, problems


def _mend(rest: dict[str, Any], location: list[Any], kind: str) -> None:
    node: Any = rest
    path = [part for part in location if part not in ("options", "[key]")]
    for part in path[:-1]:
        if not isinstance(node, dict) or part not in node:
            return
        if not isinstance(node[part], dict):
            path = path[: path.index(part) + 1]
            break
        node = node[part]
    last = path[-1] if path else None
    if kind == "missing" and last in PLACEHOLDERS:
        node[last] = PLACEHOLDERS[last]
    elif isinstance(node, dict):
        node.pop(last, None)


def _columns(checked: Checked) -> list[Problem]:
    """Columns that a reward needs and no row has, options that a column would shadow; columns that nothing reads are noted."""
    problems = []
    for domain in checked.bound.mix:
        rows = checked.rows[domain.name]
        columns = {name for row in rows for name in row} - {"prompt"}
        read = set(GOLD_COLUMNS)
        for term in domain.terms:
            where = f"domains.{domain.name}.terms.{term.name}"
            problems += [
                Problem(f"{where}.{name}", "this option has the name of a column, which would replace it", "another column name")
                for name in term.options if name in columns
            ]  # fmt: skip
            for name, parameter in named_parameters(term.function).items():
                given = name in term.options or name in FROM_TRAINER
                if parameter.default is parameter.empty and not given and name not in columns:
                    problems.append(
                        Problem(
                            where,
                            f"the reward reads the column {name!r}, which the rows lack",
                            f"one of {', '.join(sorted(columns)) or 'no columns'}",
                        )
                    )
                read.add(name)
            if takes_any_keyword(term.function) and len(named_parameters(term.function)) <= 2:
                read |= columns  # it may look into its **columns
        if columns - read:
            checked.unused[domain.name] = sorted(columns - read)
    return problems


def _gold(checked: Checked) -> list[Problem]:
    """Scores two rows' gold answers; built-in rewards must give them 1, others what the recipe says they earn."""
    problems = []
    for domain in checked.bound.mix:
        rows = checked.rows[domain.name][:2]
        name = next((column for column in GOLD_COLUMNS if all(column in row for row in rows)), None)
        answers = [str(row[name]) if name else "" for row in rows]
        spec = checked.bound.recipe.domains[domain.name]
        for i, row in enumerate(score_gold(domain, rows, answers)):
            if row.failures:
                problems.append(
                    Problem(
                        f"domains.{domain.name}.terms",
                        row.error or "a reward failed",
                        "a number or None for a real row",
                    )
                )
                continue
            for term, score in zip(domain.terms, row.scores, strict=True):
                own = "." in spec.terms[term.name].use
                wanted = spec.terms[term.name].gold if own or spec.terms[term.name].gold is not None else 1.0
                if name is None:
                    continue
                checked.gold.append(GoldScore(domain.name, term.name, score, answers[i]))
                if wanted is not None and (score is None or abs(score - wanted) > 1e-6):
                    what = f"the gold answer {answers[i]!r:.60} of row {i} earns {score}"
                    problems.append(
                        Problem(
                            f"domains.{domain.name}.terms.{term.name}",
                            what,
                            f"{wanted:g} (set gold: to change or null to skip)",
                        )
                    )
    return problems


def score_gold(domain: MixDomain, rows: list[Row], answers: list[str]) -> list[Any]:
    """Runs the domain's rewards on given completions of given rows."""
    prompts: list[Any] = [row["prompt"] for row in rows]
    completions: list[Any] = [
        [{"role": "assistant", "content": a}] if isinstance(p, list) else a
        for p, a in zip(prompts, answers, strict=True)
    ]
    columns = {
        key: [row.get(key) for row in rows] for key in dict.fromkeys(k for row in rows for k in row) if key != "prompt"
    }
    return score_terms(domain, prompts, completions, columns, **OUTSIDE_TRAINING)
