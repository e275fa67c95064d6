"""The recipe: one YAML page that names a model, its domains, what earns reward, the curriculum and what is watched.

`load_recipe` reads it, follows `extends`, applies `key=value` overrides and reports every mistake of form at once.
Whether the functions it names exist and fit is asked in `check`; nothing here imports torch.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from divrl.errors import Problem, RecipeError
from divrl.resolve import nearest
from divrl.types import Kind


class Section(BaseModel):
    """A part of a recipe: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Use(Section):
    """A function by name, and its options: `{use: NAME, option: value}`, or just `NAME`."""

    use: str
    options: dict[str, Any] = Field(default={}, exclude=False)

    @model_validator(mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"use": value}
        if isinstance(value, dict) and "options" not in value:
            own = {key: item for key, item in value.items() if key in cls.model_fields}
            options = {key: item for key, item in value.items() if key not in cls.model_fields}
            return own | {"options": options} if options else own
        return value


class Schedule(Section):
    """A weight that changes linearly from `start` to `end` while progress goes through `over`."""

    start: float = Field(allow_inf_nan=False)
    end: float = Field(allow_inf_nan=False)
    over: tuple[float, float] = (0.0, 1.0)

    def at(self, progress: float) -> float:
        """The weight at `progress` in [0, 1]; constant before and after `over`."""
        low, high = self.over
        part = 1.0 if high <= low else min(1.0, max(0.0, (progress - low) / (high - low)))
        return self.start + part * (self.end - self.start)


Finite = Annotated[float, Field(allow_inf_nan=False)]
Weight = Finite | Schedule
DomainName = Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
TermName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


def weight_at(weight: Weight, progress: float) -> float:
    """The value of a weight at `progress` in [0, 1]."""
    return weight.at(progress) if isinstance(weight, Schedule) else weight


class Term(Use):
    """A reward function and its part in the domain's task reward."""

    weight: Weight = 1.0
    gold: float | None = Field(default=None, description="what the gold answer must earn; built-in rewards: 1")


class Bonus(Section):
    """What is paid for diversity in a domain."""

    metric: Use
    weight: Weight = 1.0
    gate: Literal["none", "correct"] | Finite = "correct"
    combine: Literal["add", "multiply", "rank", "advantage"] = "multiply"
    floor: float | None = Field(default=None, gt=0, le=1, description="multiply: factor at novelty 0; default 1/group")

    @model_validator(mode="after")
    def _fits(self) -> Bonus:
        if self.floor is not None and self.combine != "multiply":
            raise ValueError(f"floor belongs to combine: multiply, not {self.combine}")
        ends = (self.weight.start, self.weight.end) if isinstance(self.weight, Schedule) else (self.weight,)
        if self.combine == "rank" and not all(0 <= weight <= 1 for weight in ends):
            raise ValueError("combine: rank takes a weight in [0, 1]")
        if self.combine == "multiply" and min(ends) < 0:
            raise ValueError("combine: multiply takes a weight >= 0")
        return self


class DomainSpec(Section):
    """One kind of task."""

    kind: Kind
    data: Use
    terms: dict[TermName, Term] = Field(min_length=1)
    bonus: Bonus | None = None
    fingerprint: Use = Use(use="outline")
    on_failure: Literal["mask", "drop_term", "group_mean"] = "mask"


class FormatMonitor(Section):
    """When and on how much the shares of the formats are measured (held-out prompts, fixed sampling)."""

    every_steps: int | None = Field(default=None, gt=0, description="besides the start and every epoch's end")
    prompts: int = Field(default=48, gt=0)
    samples: int = Field(default=16, ge=2)
    collapse_share: float = Field(default=0.9, gt=0, le=1)


class Monitors(Section):
    """What is watched during training."""

    format: FormatMonitor | None = FormatMonitor()


class Evaluation(Section):
    """The evaluation before and after training, on prompts that neither training nor monitors see."""

    prompts: int = Field(default=100, gt=0)
    samples: int = Field(default=64, gt=0)
    k: list[Annotated[int, Field(gt=0)]] = [1, 4, 16, 64]
    before: bool = True
    after: bool = True

    @model_validator(mode="after")
    def _fits(self) -> Evaluation:
        if self.k and max(self.k) > self.samples:
            raise ValueError(f"k = {max(self.k)} needs as many samples, there are {self.samples}")
        return self


class Wandb(Section):
    """W&B: offline unless a key is found; `disabled` writes nothing."""

    mode: Literal["auto", "online", "offline", "disabled"] = "auto"
    project: str = "divrl"


class Failures(Section):
    """How many completions a reward may fail to judge before the run ends with exit code 5."""

    budget: float = Field(default=0.05, ge=0, le=1, description="share of the completions of the last `window` batches")
    window: int = Field(default=20, gt=0)


class Recipe(Section):
    """A whole run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,80}$")
    seed: int = Field(default=0, ge=0, lt=2**31)
    model: Use
    algorithm: Literal["grpo"] = "grpo"
    domains: dict[DomainName, DomainSpec] = Field(min_length=1)
    curriculum: Use = Use(use="uniform")
    monitors: Monitors = Monitors()
    evaluation: Evaluation | None = Evaluation()
    failures: Failures = Failures()
    trainer: dict[str, Any] = {}
    lora: dict[str, Any] | None = None
    rollout: Literal["auto", "grouped", "trl"] = "auto"
    wandb: Wandb = Wandb()
    output: str = "runs"

    @field_validator("model", mode="before")
    @classmethod
    def _model_path(cls, value: Any) -> Any:
        return {"use": "pretrained", "path": value} if isinstance(value, str) else value

    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.output) / self.name


class _Loader(yaml.SafeLoader):
    """Safe YAML in which 1e-3 is a number, `no` is a word and a key may stand only once (YAML 1.1 says otherwise)."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|True|false|False)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    keys = [loader.construct_object(key, deep=True) for key in own]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
    loader.flatten_mapping(node)
    return {str(k): v for k, v in yaml.SafeLoader.construct_mapping(loader, node, deep=True).items()}


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def _read(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The mapping in a YAML file, with the pages it extends merged beneath it."""
    try:
        path = path.resolve()
        if path in seen:
            raise RecipeError([Problem(str(path), "extends itself", "no circle of extends")])
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except RecipeError:
        raise
    except FileNotFoundError as error:
        names = [p.name for p in path.parent.glob("*.yaml")] if path.parent.is_dir() else []
        raise RecipeError([Problem(str(path), "no such file", "a recipe", nearest(path.name, names))]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([Problem(str(path), f"cannot be read ({error})")]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise RecipeError([Problem(where, f"not valid YAML: {getattr(error, 'problem', error)}")]) from error
    if not isinstance(content, dict):
        raise RecipeError([Problem(str(path), "is not a mapping", "keys such as name, model, domains")])
    parent = content.pop("extends", None)
    if parent is None:
        return content
    if not isinstance(parent, str):
        raise RecipeError([Problem(f"{path}: extends", f"{parent!r} is no path", "the path of one recipe")])
    return merge(_read(path.parent / parent, (*seen, path)), content)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping; a mapping with another `use:` replaces, None removes or switches off."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, str) and isinstance(value, dict) and "use" not in value and "path" not in value:
            below = {"use": below}  # NAME is short for {use: NAME}
        if (
            isinstance(value, dict)
            and isinstance(below, dict)
            and value.get("use", below.get("use")) == below.get("use")
        ):
            merged[key] = merge(below, value)
        else:
            merged[key] = value
    return merged


def _overridden(content: dict[str, Any], overrides: list[str]) -> tuple[dict[str, Any], list[Problem]]:
    problems = []
    for override in overrides:
        dotted, equals, text = override.partition("=")
        if not equals or not dotted:
            problems.append(Problem(override, "not an override", "key=value, e.g. trainer.learning_rate=1e-4"))
            continue
        try:
            value = yaml.load(text, _Loader) if text else None
        except (yaml.YAMLError, ValueError, RecursionError):
            problems.append(Problem(dotted, f"{text!r} is not valid YAML"))
            continue
        *path, last = dotted.split(".")
        nested: dict[str, Any] = {last: value}
        for key in reversed(path):
            nested = {key: nested}
        content = merge(content, nested)
    return content, problems


def _problem(error: Any, content: dict[str, Any]) -> Problem:
    """A pydantic error in the words of a recipe."""
    location = [
        part
        for part in error["loc"]
        if part != "[key]" and not (isinstance(part, str) and _is_union_tag(part, content))
    ]
    where = ".".join(str(part) for part in location) or "recipe"
    match error["type"]:
        case "extra_forbidden":
            model = _section_at(location[:-1])
            known = list(model.model_fields) if model else []
            return Problem(where, "no such key", f"one of {', '.join(known)}", nearest(str(location[-1]), known))
        case "missing":
            return Problem(where, "is missing")
        case "string_pattern_mismatch":
            expected = "letters, digits, '.', '_' and '-'"
            if location[0] == "domains" and len(location) == 2:
                expected = "lower-case letters, digits, '_' and '-'"
            return Problem(where, f"{error['input']!r} does not fit", expected)
        case "value_error":
            return Problem(where, error["msg"].removeprefix("Value error, "))
        case _:
            message = error["msg"].removeprefix("Input should be ")
            return Problem(where, f"{error['input']!r} does not fit", message)


def _is_union_tag(part: str, content: dict[str, Any]) -> bool:
    return part in ("float", "Schedule") or part.startswith(("literal[", "function-", "constrained-"))


def _section_at(location: list[Any]) -> type[Section] | None:
    """The section class that stands at a place of the recipe."""
    current: Any = Recipe
    for part in location:
        if isinstance(current, type) and issubclass(current, Section) and part in current.model_fields:
            current = current.model_fields[part].annotation
        elif getattr(current, "__origin__", None) is dict:
            current = current.__args__[1]
        else:
            return None
        members = [a for a in getattr(current, "__args__", ()) if isinstance(a, type) and issubclass(a, Section)]
        if getattr(current, "__origin__", None) is not dict and members:
            current = members[0]
    return current if isinstance(current, type) and issubclass(current, Section) else None


def parse_recipe(content: dict[str, Any], problems: list[Problem] | None = None) -> Recipe:
    """A recipe from its mapping.

    Raises:
        RecipeError: with every mistake of form, after the `problems` already known.
    """
    problems = list(problems or [])
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        found: dict[str, Problem] = {}
        for item in error.errors():
            problem = _problem(item, content)
            found.setdefault(problem.where, problem)
        raise RecipeError(problems + list(found.values())) from None
    if problems:
        raise RecipeError(problems)
    return recipe


def load_content(path: str | Path, overrides: list[str] | None = None) -> tuple[dict[str, Any], list[Problem]]:
    """The merged mapping of a recipe file, and the overrides that could not be applied."""
    return _overridden(_read(Path(path)), overrides or [])


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """Reads a recipe.

    Args:
        path: a YAML file; `extends: other.yaml` lays it on another page.
        overrides: `key=value` with dotted keys, values in YAML.

    Raises:
        RecipeError: all mistakes of form at once.
    """
    return parse_recipe(*load_content(path, overrides))
