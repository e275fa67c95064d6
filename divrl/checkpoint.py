"""What makes a checkpoint whole and a resumed run equal to an uninterrupted one.

transformers saves weights, optimiser, scheduler and random states. Beside them divrl keeps, per process, what TRL loses:
the position in the generation cycle, completions not yet trained on, and metrics not yet logged. That file is
written last, aside and then renamed: a checkpoint without it is incomplete and is never resumed from.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from divrl.errors import CheckpointError

if TYPE_CHECKING:
    from accelerate import Accelerator


def _state_file(checkpoint: Path, rank: int, world: int) -> Path:
    return checkpoint / f"divrl_rank{rank}of{world}.pt"


def _whole(checkpoint: Path) -> bool:
    """Whether every process of the run that wrote the checkpoint has written its state, which it does last."""
    files = list(checkpoint.glob("divrl_rank*of*.pt"))
    return bool(files) and len(files) == int(files[0].stem.rpartition("of")[2])


def save_rank_state(folder: str | Path, step: int, accelerator: Accelerator, state: dict[str, Any]) -> None:
    """Writes this process's state into checkpoint `step`, after everything else in it."""
    import torch

    accelerator.wait_for_everyone()
    target = _state_file(Path(folder) / f"checkpoint-{step}", accelerator.process_index, accelerator.num_processes)
    aside = target.with_suffix(".partial")
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(target)


def load_rank_state(checkpoint: str | Path, accelerator: Accelerator) -> dict[str, Any]:
    """The state of this process from a checkpoint.

    Raises:
        CheckpointError: it is missing, or was written by another number of processes.
    """
    import torch

    file = _state_file(Path(checkpoint), accelerator.process_index, accelerator.num_processes)
    if not file.exists():
        found = ", ".join(sorted(path.name for path in Path(checkpoint).glob("divrl_rank*.pt"))) or "none"
        raise CheckpointError(
            f"{checkpoint}: no {file.name} (there: {found}); resume with as many processes as wrote it"
        )
    state: dict[str, Any] = torch.load(file, weights_only=True, map_location=accelerator.device)
    return state


def last_complete(folder: Path) -> Path | None:
    """The whole checkpoint with the largest step, or None."""
    found = [
        (int(match[1]), path)
        for path in folder.glob("checkpoint-*")
        if (match := re.fullmatch(r"checkpoint-(\d+)", path.name)) and _whole(path)
    ]
    return max(found)[1] if found else None


def step_of(checkpoint: Path) -> int:
    """The optimiser step of a checkpoint folder."""
    return int(checkpoint.name.rpartition("-")[2])
