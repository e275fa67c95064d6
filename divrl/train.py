"""One run, from a checked recipe to a trained model: the wiring, in the order in which things happen."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from divrl.build import Heldout, build, configure, load_heldout, lora_config, sampling_of
from divrl.check import Checked
from divrl.checkpoint import last_complete, step_of
from divrl.errors import CheckpointError, DivrlError, EnvironmentFault, Problem, RecipeError
from divrl.loading import quiet_libraries
from divrl.monitors.sinks import JsonlSink, Sink, Sinks, WandbSink, read_rows, rewrite, rows_until, wandb_mode
from divrl.monitors.terminal import TerminalSink
from divrl.recipe import Recipe
from divrl.resolve import named_parameters
from divrl.rollout import process
from divrl.types import Row

if TYPE_CHECKING:
    from trl import GRPOConfig

    from divrl.monitors.callback import MonitorCallback
    from divrl.trainers.grpo import DivGRPOTrainer

MAY_CHANGE = ("output", "wandb")  # keys of a recipe that a resumed run may change
LEFT_BY_A_RUN = ("recipe.json", "metrics.jsonl", "checkpoints", "model", "wandb", "wandb_id", "report.html", "plots")
PACKAGES = ("divrl", "trl", "transformers", "torch", "accelerate", "datasets", "peft")


def train(checked: Checked, *, resume: bool = False, overwrite: bool = False) -> Path:
    """Trains what a checked recipe says and returns the run's folder.

    Args:
        resume: continue from the last whole checkpoint, or from the start if there is none.
        overwrite: remove an earlier run of the same name first.

    Raises:
        RecipeError: the folder holds a run and neither option was given.
        CheckpointError: the recipe differs from the interrupted run's.
        EnvironmentFault: another process is training in this folder.
    """
    recipe = checked.bound.recipe
    folder = recipe.folder()
    with _locked(folder):
        kept = _prepare(folder, checked, resume=resume, overwrite=overwrite)
        if kept and kept[-1]["event"] == "end":
            Console(stderr=True).print(f"{folder} is finished; nothing to resume", highlight=False)
            return folder
        _train(checked, folder, resume=resume)
    return folder


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps a second run out of the folder (held by the first process of each machine)."""
    from filelock import FileLock, Timeout

    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise EnvironmentFault(f"{folder}: another process is training in this folder") from error
    try:
        yield
    finally:
        lock.release()


def _prepare(folder: Path, checked: Checked, *, resume: bool, overwrite: bool) -> list[dict[str, Any]]:
    """Decides between a new run and an interrupted one, and returns the rows that an earlier run recorded."""
    recipe = checked.bound.recipe
    hashes = {name: hashlib.sha256(json.dumps(part).encode()).hexdigest() for name, part in checked.rows.items()}
    record, written = folder / "recipe.json", recipe.model_dump(mode="json")
    rows = read_rows(folder / "metrics.jsonl")
    if process()[0] != 0:
        return rows if resume else []
    if record.exists() and not resume:
        if not overwrite and rows:
            what = f"{folder} holds a run already"
            raise RecipeError(
                [Problem("name", what, "--resume to continue it, --overwrite to replace it, or another name=")]
            )
        if overwrite:
            for name in LEFT_BY_A_RUN:
                path = folder / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    if record.exists() and rows:  # a start that recorded nothing binds nobody
        try:
            content = json.loads(record.read_text())
        except json.JSONDecodeError as error:
            raise CheckpointError(f"{record} is damaged ({error}); the run cannot be resumed") from error
        before, now = _flat(content["recipe"]), _flat(written)
        changed = [
            key
            for key in {**before, **now}
            if before.get(key) != now.get(key) and key.partition(".")[0] not in MAY_CHANGE
        ]
        if changed:
            told = "; ".join(f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed)
            raise CheckpointError(f"{folder} was trained with another recipe ({told}); use another name=")
        if content["rows"] != hashes:
            names = [name for name in hashes if content["rows"].get(name) != hashes[name]]
            raise CheckpointError(
                f"{folder}: the training rows of {', '.join(names)} have changed since; use another name="
            )
    else:
        machine = {"python": platform.python_version(), "system": platform.system(), "cpus": os.cpu_count()}
        versions = {name: version(name) for name in PACKAGES}
        content = {"recipe": written, "rows": hashes, "versions": versions, "machine": machine}
        aside = record.with_suffix(".partial")
        aside.write_text(json.dumps(content, indent=2))
        aside.replace(record)
    return rows if resume else []


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted key: value} of a nested mapping."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _train(checked: Checked, folder: Path, *, resume: bool) -> None:
    console = Console(stderr=True)
    main = process()[0] == 0
    quiet_libraries()
    recipe = checked.bound.recipe
    checkpoints = folder / "checkpoints"
    checkpoint = last_complete(checkpoints) if resume else None
    record = folder / "metrics.jsonl"
    # the same on every process, whether it reads the record before or after the first one rewrites it
    kept = rows_until(read_rows(record), step_of(checkpoint) if checkpoint else -1) if resume else []
    if main and resume:
        rewrite(record, kept)

    # whatever can be wrong is found before any model is loaded
    heldout = load_heldout(checked)
    args = configure(recipe, checkpoints)
    lora_config(recipe)
    trainer, callback = build(checked, heldout, _model_path(checked, console if main else None), args)
    steps = _steps(checked, trainer.args)
    if main:
        callback.sinks = _sinks(recipe, folder, console, steps)
    try:
        _run(checked, heldout, trainer, callback, kept, checkpoint)
    finally:
        if callback.sinks:
            callback.sinks.close()


def _run(
    checked: Checked, heldout: Heldout, trainer: DivGRPOTrainer, callback: MonitorCallback,
    kept: list[dict[str, Any]], checkpoint: Path | None,
) -> None:  # fmt: skip
    """Evaluation, training, evaluation, with everything that an interrupted run recorded taken up."""
    evaluation = checked.bound.recipe.evaluation
    formats = [row for row in kept if row["event"] == "format"]
    if callback.monitor:
        callback.monitor.restore(formats)
        for row in formats:
            trainer.record_scores(row["step"], callback.monitor.scores(_with_nan(row)))
    callback.measured = {row["step"] for row in formats}

    evaluated = {row["step"] for row in kept if row["event"] == "evaluation"}
    if evaluation and evaluation.before and 0 not in evaluated:
        callback.write("evaluation", trainer.state, _evaluated(trainer, checked, heldout["test"], callback))
    with _signals(callback):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if callback.stopped_by:
        raise SystemExit(128 + callback.stopped_by)
    trainer.save_model(str(checked.bound.recipe.folder() / "model"))
    if evaluation and evaluation.after and trainer.state.global_step not in evaluated:
        callback.write("evaluation", trainer.state, _evaluated(trainer, checked, heldout["test"], callback))
    callback.write("end", trainer.state, {"tokens": int(trainer.state.num_input_tokens_seen)})


def _model_path(checked: Checked, console: Console | None) -> str:
    """Calls the recipe's model source; a source of the user's own may fail in any way."""
    bound = checked.bound
    try:
        if console and "progress" in named_parameters(bound.model):
            return bound.model(progress=_pretraining(console))
        return bound.model()
    except DivrlError:
        raise
    except Exception as error:
        name = bound.recipe.model.use
        raise EnvironmentFault(f"model source {name} raised {type(error).__name__}: {error}") from error


def _steps(checked: Checked, args: GRPOConfig) -> int:
    if args.max_steps > 0:
        return int(args.max_steps)
    total = sum(map(len, checked.rows.values()))
    return int(checked.batch.steps_per_epoch(total) * args.num_train_epochs)


def _sinks(recipe: Recipe, folder: Path, console: Console, steps: int) -> Sinks:
    sinks: list[Sink] = [JsonlSink(folder / "metrics.jsonl")]
    mode = wandb_mode(recipe.wandb.mode)
    if mode != "disabled":
        settings = (folder, recipe.name, recipe.wandb.project)
        try:
            sinks.append(WandbSink(*settings, mode, recipe.model_dump(mode="json")))
        except EnvironmentFault as error:
            if recipe.wandb.mode != "auto" or mode == "offline":
                raise
            console.print(f"{error}: writing offline", style="yellow", highlight=False)
            sinks.append(WandbSink(*settings, "offline", recipe.model_dump(mode="json")))
    kinds = {name: spec.kind for name, spec in recipe.domains.items()}
    sinks.append(TerminalSink(console, recipe.name, steps, kinds))
    return Sinks(sinks)


def _evaluated(
    trainer: DivGRPOTrainer, checked: Checked, rows: dict[str, list[Row]], callback: MonitorCallback
) -> dict[str, Any]:
    """The recipe's evaluation of the trainer's current weights."""
    from divrl.evaluation.evaluate import evaluate

    spec = checked.bound.recipe.evaluation
    assert spec is not None
    model = trainer.accelerator.unwrap_model(trainer.model)
    known = callback.monitor.known if callback.monitor else {}
    sampling = sampling_of(trainer.args, checked.bound.recipe)
    return evaluate(model, trainer.processing_class, checked.bound, rows, spec.samples, spec.k, sampling, known)


def _with_nan(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float("nan") if value is None else value for key, value in row.items()}


def _pretraining(console: Console) -> Any:
    def show(step: int, steps: int, loss: float) -> None:
        if step % max(1, steps // 5) == 0:
            known = f": step {step}/{steps}, loss {loss:.2f}" if loss == loss else ""
            console.print(f"building the base model{known}", highlight=False)

    return show


@contextmanager
def _signals(callback: MonitorCallback) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGUSR1 end the run after the current step, with a checkpoint."""

    def stop(number: int, frame: Any) -> None:
        if callback.stopped_by:
            sys.exit(128 + number)  # asked twice: at once
        callback.stopped_by = number

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
