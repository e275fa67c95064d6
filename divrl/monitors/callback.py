"""Ties the monitors to transformers' training loop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from divrl.monitors.format import FormatMonitor
from divrl.monitors.sinks import Sinks

if TYPE_CHECKING:
    from divrl.trainers.grpo import DivGRPOTrainer

SUMMARY_KEYS = ("train_runtime", "train_loss")


class MonitorCallback(TrainerCallback):
    """Writes a row per logged step, and a row of formats at the start, every n steps and at every epoch's end.

    Args:
        sinks: where the rows go; None on all processes but the first.
        monitor: the format monitor, or None.
        every_steps: steps between measurements besides those at the epochs' ends.
        measured: steps whose formats an interrupted run has recorded already.
    """

    def __init__(self, sinks: Sinks | None, monitor: FormatMonitor | None, every_steps: int | None, measured: set[int]):
        self.sinks = sinks
        self.monitor = monitor
        self.every_steps = every_steps
        self.measured = set(measured)
        self.trainer: DivGRPOTrainer | None = None
        self.stopped_by = 0  # the number of the signal that asked the run to stop

    def write(self, event: str, state: TrainerState, values: dict[str, Any]) -> None:
        """One row for every sink."""
        if self.sinks:
            row = {"event": event, "step": state.global_step, "epoch": state.epoch or 0.0, "time": time.time()}
            self.sinks.write(row | values)

    def _measure(self, state: TrainerState) -> None:
        if self.monitor is None or self.trainer is None or state.global_step in self.measured:
            return
        self.measured.add(state.global_step)
        model = self.trainer.accelerator.unwrap_model(self.trainer.model)
        row = self.monitor.measure(model, self.trainer.processing_class, round(state.epoch or 0.0, 4))
        self.trainer.record_scores(state.global_step, self.monitor.scores(row))
        self.write("format", state, row)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measures the base model, or what a kill between a checkpoint and its measurement left out."""
        if self.trainer is not None:
            self.trainer.restore_loss_window()
        if state.global_step == 0 or (state.epoch or 0.0) == round(state.epoch or 0.0):
            self._measure(state)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Measures every n steps; saves and stops when a signal asked for it."""
        if self.stopped_by:
            control.should_save = control.should_training_stop = True
        if self.every_steps and state.global_step % self.every_steps == 0:
            self._measure(state)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measures at the end of every epoch (transformers calls this for an epoch that a signal cut short, too)."""
        if not self.stopped_by:
            self._measure(state)

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:  # fmt: skip
        """Writes TRL's and the mix's values of a step."""
        logs = dict(logs or {})
        if not any(key in logs for key in SUMMARY_KEYS):
            logs.pop("epoch", None)
            self.write("step", state, logs)
