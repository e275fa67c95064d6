"""A checked recipe -> TRL's configuration, the mix, the monitor and the trainer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from divrl.check import Checked
from divrl.data.domains import conversational, heldout_rows, train_dataset
from divrl.errors import EnvironmentFault, Problem, RecipeError
from divrl.loading import load_model
from divrl.recipe import Recipe
from divrl.types import Row

if TYPE_CHECKING:
    from trl import GRPOConfig

    from divrl.evaluation.sampling import Sampling
    from divrl.monitors.callback import MonitorCallback
    from divrl.trainers.grpo import DivGRPOTrainer


def configure(recipe: Recipe, checkpoints: Path) -> GRPOConfig:
    """TRL's configuration: the recipe's trainer section, over defaults that fit the device."""
    import torch
    from trl import GRPOConfig

    own: dict[str, Any] = {
        "logging_steps": 1,
        "save_strategy": "epoch",
        "save_total_limit": 2,
        "logging_nan_inf_filter": False,
        "disable_tqdm": True,
    }
    cpu = recipe.trainer.get("use_cpu", False) or not (torch.cuda.is_available() or torch.backends.mps.is_available())
    if cpu:
        # TRL's defaults are for GPUs: on a CPU bf16 is emulated, and recomputing activations costs a third of a step to
        # save memory that a model which fits a CPU does not lack
        own |= {"use_cpu": True, "bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
    fixed = {
        "output_dir": str(checkpoints),
        "run_name": recipe.name,
        "seed": recipe.seed,
        "report_to": "none",
        "remove_unused_columns": False,
    }
    try:
        args = GRPOConfig(**(own | recipe.trainer | fixed))
    except ImportError as error:
        raise EnvironmentFault(str(error)) from error
    except Exception as error:  # GRPOConfig checks its values in many ways
        raise RecipeError([Problem("trainer", str(error), "values that TRL's GRPOConfig accepts")]) from error
    if recipe.rollout == "grouped" and not _plain_sampling(args):
        what = "the grouped sampler knows temperature, top_p and top_k only, on one device"
        raise RecipeError([Problem("rollout", what, "rollout: trl")])
    return args


Heldout = dict[str, dict[str, list[Row]]]


def load_heldout(checked: Checked) -> Heldout:
    """The rows that monitors (validation) and evaluation (test) look at, by split and domain."""
    recipe, domains = checked.bound.recipe, checked.bound.domains
    found: Heldout = {}
    if spec := recipe.monitors.format:
        found["validation"] = {domain.name: heldout_rows(domain, "validation", spec.prompts) for domain in domains}
    if evaluation := recipe.evaluation:
        found["test"] = {domain.name: heldout_rows(domain, "test", evaluation.prompts) for domain in domains}
    return found


def build(
    checked: Checked, heldout: Heldout, model_path: str, args: GRPOConfig
) -> tuple[DivGRPOTrainer, MonitorCallback]:
    """The trainer of a run, and the callback through which it is watched (its sinks are still to be opened)."""
    import torch
    from transformers import PrinterCallback, set_seed

    from divrl.mix import RewardMix
    from divrl.monitors.callback import MonitorCallback
    from divrl.monitors.format import FormatMonitor
    from divrl.trainers.grpo import TINY_PARAMETERS, DivGRPOTrainer, grouped_rollout

    recipe, bound = checked.bound.recipe, checked.bound
    set_seed(recipe.seed)
    model, tokenizer = load_model(model_path, torch.float32 if args.use_cpu else "auto")
    dataset, indices = train_dataset(checked.rows)
    own = {name: frozenset(key for row in part for key in row) for name, part in checked.rows.items()}
    mix = RewardMix(bound.mix, args.num_generations, recipe.failures.budget, recipe.failures.window, own)
    sampling = sampling_of(args, recipe)
    monitor = None
    if spec := recipe.monitors.format:
        monitor = FormatMonitor(
            bound.domains, bound.mix, heldout["validation"], spec.samples, spec.collapse_share, sampling
        )
    every = recipe.monitors.format.every_steps if recipe.monitors.format else None
    callback = MonitorCallback(None, monitor, every, set())
    grouped = recipe.rollout == "grouped" or (
        recipe.rollout == "auto" and args.use_cpu and model.num_parameters() < TINY_PARAMETERS and _plain_sampling(args)
    )
    rollout = grouped_rollout(args.max_completion_length, args.temperature, args.top_p, args.top_k) if grouped else None
    if tokenizer.chat_template is None and any(True in conversational(rows) for rows in checked.rows.values()):
        what = f"the tokenizer of {model_path} has no chat template, and the prompts are messages"
        raise RecipeError([Problem("model", what, "plain prompts, or a model with a chat template")])
    trainer = DivGRPOTrainer(
        mix=mix, weights=bound.weights, rows_by_domain=indices, model=model, processing_class=tokenizer, args=args,
        train_dataset=dataset, callbacks=[callback], peft_config=lora_config(recipe), rollout_func=rollout,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    callback.trainer = trainer
    return trainer, callback


def lora_config(recipe: Recipe) -> Any:
    """Peft's LoraConfig as the recipe says, or None.

    Raises:
        RecipeError: an argument it does not take, or a rank that is none.
    """
    if recipe.lora is None:
        return None
    from peft import LoraConfig

    try:
        config = LoraConfig(task_type="CAUSAL_LM", **recipe.lora)
    except Exception as error:
        raise RecipeError([Problem("lora", str(error), "arguments of peft's LoraConfig")]) from error
    if not isinstance(config.r, int) or config.r < 1:
        raise RecipeError([Problem("lora.r", f"{config.r!r} does not fit", "a whole number > 0")])
    return config


def _plain_sampling(args: GRPOConfig) -> bool:
    """Whether the recipe samples in a way that the grouped sampler knows."""
    return (
        not args.use_vllm and not args.use_transformers_continuous_batching and args.min_p is None
        and not args.chat_template_kwargs and args.repetition_penalty == 1.0 and not args.generation_kwargs and os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true"
        and os.environ.get("ACCELERATE_USE_FSDP") != "true"
    )  # fmt: skip


def sampling_of(args: GRPOConfig, recipe: Recipe) -> Sampling:
    """The sampling of monitors and evaluation: that of the rollouts, with the recipe's failure budget."""
    from divrl.evaluation.sampling import Sampling

    budget = recipe.failures.budget
    return Sampling(args.max_completion_length, args.temperature, args.top_p, args.top_k, failure_budget=budget)
