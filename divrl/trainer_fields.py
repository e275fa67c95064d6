"""The fields of TRL's configuration, read from its source text: names, types and defaults without importing torch."""

from __future__ import annotations

import ast
import importlib.util
import os
import typing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from divrl.errors import EnvironmentFault, Problem
from divrl.resolve import nearest, type_mistake

SOURCES = (
    ("transformers", "training_args.py", "TrainingArguments"),
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("trl", "trainer/grpo_config.py", "GRPOConfig"),
)

# what divrl sets itself, and where a recipe says it instead
MANAGED = {
    "output_dir": "output and name",
    "run_name": "name",
    "seed": "seed",
    "data_seed": "seed",
    "report_to": "wandb",
    "reward_weights": "domains.<name>.terms.<name>.weight",
    "remove_unused_columns": "nothing: every column reaches the rewards",
    "eval_strategy": "monitors and evaluation",
    "do_eval": "monitors and evaluation",
    "resume_from_checkpoint": "the option --resume",
    "load_best_model_at_end": "nothing: compare checkpoints with divrl evaluate",
    "trust_remote_code": "nothing: only code named in a recipe runs",
    "peft_config": "lora",
    "eval_on_start": "evaluation.before",
    "shuffle_dataset": "curriculum",
}


LIMITS = {
    "temperature": 1e-6,
    "learning_rate": 0.0,
    "max_completion_length": 1,
    "num_train_epochs": 1e-6,
    "save_total_limit": 2,  # the newest may be half written when a run is killed
    "logging_steps": 1e-6,
}


@dataclass(frozen=True)
class ConfigField:
    """One field: its annotation (None where it cannot be evaluated) and its default (None where it is computed)."""

    annotation: Any
    default: Any


@cache
def config_fields() -> dict[str, ConfigField]:
    """Every field of GRPOConfig, the inherited ones included."""
    found: dict[str, ConfigField] = {}
    for package, file, name in SOURCES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise EnvironmentFault(f"{package} is not installed: pip install divrl")
        tree = ast.parse((Path(spec.submodule_search_locations[0]) / file).read_text(encoding="utf-8"))
        body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        for node in body:
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = ConfigField(_annotation(node.annotation), _default(node.value))
    return found


def _annotation(node: ast.expr) -> Any:
    names = {"Any": Any, "Literal": typing.Literal, "Optional": typing.Optional, "Union": typing.Union}
    builtins = {"int": int, "float": float, "bool": bool, "str": str, "list": list, "dict": dict, "tuple": tuple}
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ast.unparse(node)
    try:
        return eval(text, {"__builtins__": {}}, names | builtins)  # the installed library's own annotations
    except Exception:
        return None


def _default(node: ast.expr | None) -> Any:
    if isinstance(node, ast.Call):
        node = next((keyword.value for keyword in node.keywords if keyword.arg == "default"), None)
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def field_problems(trainer: dict[str, Any]) -> list[Problem]:
    """Unknown fields, fields that divrl sets itself, and values of the wrong type."""
    problems, fields = [], config_fields()
    for name, value in trainer.items():
        where = f"trainer.{name}"
        if name in MANAGED:
            problems.append(Problem(where, "is set by divrl", f"{MANAGED[name]} in its place"))
        elif name not in fields:
            problems.append(
                Problem(where, "GRPOConfig has no such field", "a field of TRL's GRPOConfig", nearest(name, fields))
            )
        elif fields[name].annotation is not None and (mistake := type_mistake(value, fields[name].annotation)):
            problems.append(Problem(where, f"{value!r} does not fit", mistake))
        elif name in LIMITS and isinstance(value, int | float) and not value >= LIMITS[name]:
            problems.append(Problem(where, f"{value!r} does not fit", f"at least {LIMITS[name]:g}"))
    if trainer.get("max_steps") == 0:
        problems.append(Problem("trainer.max_steps", "0 does not fit", "at least 1 (or leave it out)"))
    return problems


@dataclass(frozen=True)
class Batch:
    """The batch arithmetic of a run. A generated batch is what is sampled at once; a step is one optimiser update."""

    processes: int
    per_device: int
    accumulation: int
    steps_per_generation: int
    num_generations: int
    num_iterations: int

    @property
    def completions_per_step(self) -> int:
        """Completions that one optimiser step trains on."""
        return self.processes * self.per_device * self.accumulation

    @property
    def generation_batch(self) -> int:
        """Completions sampled at once."""
        return self.processes * self.per_device * self.steps_per_generation

    @property
    def prompts_per_batch(self) -> int:
        """Prompts of a generated batch."""
        return self.generation_batch // self.num_generations

    def steps_per_epoch(self, prompts: int) -> int:
        """Optimiser steps in a pass over `prompts` training prompts (a rest that fills no batch waits for the next)."""
        micro = prompts // self.prompts_per_batch * self.steps_per_generation * self.num_iterations
        return -(-micro // self.accumulation)

    def __str__(self) -> str:
        accumulated = f" x {self.accumulation} accumulated" if self.accumulation > 1 else ""
        text = (
            f"{self.processes} process{'es' * (self.processes > 1)} x {self.per_device} a device{accumulated} = "
            f"{self.completions_per_step} completions a step; {self.prompts_per_batch} prompts x {self.num_generations} generations"
        )
        if self.generation_batch != self.completions_per_step or self.num_iterations > 1:
            text += f" sampled every {self.steps_per_generation * self.num_iterations} micro-steps"
        return text


def batch_of(trainer: dict[str, Any]) -> tuple[Batch | None, list[Problem]]:
    """The batch arithmetic as TRL does it, or what is wrong with it and the nearest values that would be right."""
    fields = config_fields()

    def value(name: str) -> Any:
        return trainer.get(name, fields[name].default)

    names = ("per_device_train_batch_size", "gradient_accumulation_steps", "num_generations", "num_iterations")
    sizes = [value(name) for name in names]
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        bad = [name for name, size in zip(names, sizes, strict=True) if not (isinstance(size, int) and size > 0)]
        return None, [Problem(f"trainer.{name}", f"{value(name)!r} does not fit", "a whole number > 0") for name in bad]
    per_device, accumulation, generations, iterations = sizes
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    asked, steps = trainer.get("generation_batch_size"), trainer.get("steps_per_generation")
    if asked is not None and steps is not None:
        return None, [
            Problem("trainer", "generation_batch_size and steps_per_generation exclude each other", "one of them")
        ]
    if asked is not None:
        if not isinstance(asked, int) or asked <= 0 or asked % (per_device * processes):
            unit = per_device * processes
            return None, [
                Problem(
                    "trainer.generation_batch_size",
                    f"{asked!r} does not fit",
                    f"a multiple of {unit} (per device x processes)",
                )
            ]
        steps = asked // (per_device * processes)
    steps = accumulation if steps is None else steps
    if not isinstance(steps, int) or steps <= 0:
        return None, [Problem("trainer.steps_per_generation", f"{steps!r} does not fit", "a whole number > 0")]
    batch = Batch(processes, per_device, accumulation, steps, generations, iterations)
    if generations < 2:
        return batch, [
            Problem("trainer.num_generations", f"{generations} does not fit", "at least 2 siblings to compare")
        ]
    if batch.generation_batch % generations:
        up = next(
            n for n in range(per_device, per_device + generations + 1) if processes * n * steps % generations == 0
        )
        problem = Problem(
            "trainer.per_device_train_batch_size",
            f"{processes} processes x {per_device} x {steps} = {batch.generation_batch} completions are no whole number of groups of {generations}",
            f"for example {up}",
        )  # fmt: skip
        return batch, [problem]
    return batch, []
