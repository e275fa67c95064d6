"""TRL's GRPOTrainer with the mix as its reward, the curriculum as its sampler, and exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOTrainer

from divrl.checkpoint import load_rank_state, save_rank_state
from divrl.curriculum.sampler import CurriculumSampler, Weights
from divrl.generation import encode, sample
from divrl.mix import RewardMix
from divrl.types import Scores

TINY_PARAMETERS = 20_000_000


class DivGRPOTrainer(GRPOTrainer):  # type: ignore[misc]
    """GRPO as TRL does it, on whole groups, along a curriculum.

    Everything that is overridden, and why (held by tests/contract/test_trl.py):

    - `_get_train_sampler`: the curriculum draws the prompts, in TRL's own order of repeats.
    - `_generate_and_score_completions`: adds what `combine: advantage` bonuses pay, after TRL's normalisation, and takes
      the time.
    - `_save_checkpoint`, `_load_optimizer_and_scheduler`: what TRL forgets at a checkpoint: the position in the generation
      cycle, completions not yet trained on, metrics not yet logged.

    Args:
        mix: the reward of every domain.
        weights: the curriculum.
        rows_by_domain: row indices of `train_dataset` for each domain.
        others: everything that TRL's GRPOTrainer takes, except `reward_funcs`.
    """

    def __init__(self, *, mix: RewardMix, weights: Weights, rows_by_domain: dict[str, list[int]], **others: Any):
        self.mix = mix
        self.curriculum = weights
        self.rows_by_domain = rows_by_domain
        self.sampler: CurriculumSampler | None = None
        self._loss_window: tuple[torch.Tensor, int] | None = None
        self._held_scores: list[tuple[int, dict[str, float]]] = []
        super().__init__(reward_funcs=[mix], **others)

    @property
    def steps_per_batch(self) -> float:
        """Optimiser steps per generated batch."""
        repeats = self.args.steps_per_generation * self.num_iterations
        return float(repeats / self.args.gradient_accumulation_steps)

    def record_scores(self, step: int, scores: Scores) -> None:
        """Held-out scores after `step` optimiser steps, for the curriculum."""
        batch = math.ceil(step / self.steps_per_batch)  # inside a cycle: only the next batch is over by then
        self._held_scores.append((batch, dict(scores)))
        if self.sampler is not None:
            self.sampler.record(batch, scores)

    def _get_train_sampler(self, dataset: Dataset | None = None) -> CurriculumSampler:
        repeats = self.args.steps_per_generation * self.num_iterations
        prompts = self.args.generation_batch_size // self.num_generations
        per_epoch = sum(map(len, self.rows_by_domain.values())) // prompts
        steps_per_epoch = -(-per_epoch * repeats // self.args.gradient_accumulation_steps)
        max_steps = self.args.max_steps if self.args.max_steps > 0 else steps_per_epoch * self.args.num_train_epochs
        self.sampler = CurriculumSampler(
            self.rows_by_domain,
            self.curriculum,
            prompts_per_batch=prompts,
            num_generations=self.num_generations,
            repeats=repeats,
            batches=max(1, round(max_steps / self.steps_per_batch)),
            start_batch=lambda: self.state.global_step // steps_per_epoch * per_epoch,
            seed=self.args.seed,
        )
        for batch, scores in self._held_scores:
            self.sampler.record(batch, scores)
        return self.sampler

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        begun = time.perf_counter()
        output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        self._metrics["train"]["seconds/rollout"].append(time.perf_counter() - begun - self.mix.seconds)
        self._metrics["train"]["seconds/rewards"].append(self.mix.seconds)
        shift = self.mix.advantage_shift
        if any(shift):
            output["advantages"] = output["advantages"] + torch.tensor(shift, device=output["advantages"].device)
        return output

    def _save_checkpoint(self, model: torch.nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        state = {
            "step": self._step,
            "buffered": self._buffered_inputs,
            "metrics": dict(self._metrics["train"]),
            "loss": self._tr_loss,
            "last_logged": self._globalstep_last_logged,
        }
        save_rank_state(self.args.output_dir, self.state.global_step, self.accelerator, state)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            state = load_rank_state(checkpoint, self.accelerator)
            self._step = state["step"]
            self._buffered_inputs = state["buffered"]
            self._metrics["train"].update(state["metrics"])
            self._loss_window = (state["loss"], state["last_logged"])

    def restore_loss_window(self) -> None:
        """Takes up the loss summed since the last logged step; called once transformers has reset it."""
        if self._loss_window is not None:
            self._tr_loss, self._globalstep_last_logged = self._loss_window
            self._loss_window = None


def grouped_rollout(max_new_tokens: int, temperature: float, top_p: float, top_k: int) -> Callable[..., dict[str, Any]]:
    """A `rollout_func` for TRL that samples with `generation.sample`: each prompt prefilled once for its siblings."""

    def rollout(prompts: list[Any], trainer: DivGRPOTrainer) -> dict[str, Any]:
        model = trainer.accelerator.unwrap_model(trainer.model)
        prompt_ids = encode(trainer.processing_class, prompts)
        size = trainer.num_generations
        heads = prompt_ids[::size]
        whole = len(prompt_ids) % size == 0 and all(ids == heads[i // size] for i, ids in enumerate(prompt_ids))
        training = model.training
        model.eval()
        completion_ids = sample(
            model, heads if whole else prompt_ids, size if whole else 1, max_new_tokens=max_new_tokens,
            eos_ids=list(trainer.eos_token_ids), temperature=temperature, top_p=top_p, top_k=top_k,
        )  # fmt: skip
        model.train(training)
        return {"prompt_ids": prompt_ids, "completion_ids": completion_ids, "logprobs": None}

    return rollout
