"""Flat lists of one process -> whole groups over all processes, and back.

TRL hands a reward function the rows of its own process, which may hold part of a group only. In rank order the rows
of all processes are whole groups of `num_generations` next to each other, so gathering restores them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

from divrl.errors import RewardError

Item = TypeVar("Item")


def process() -> tuple[int, int]:
    """(rank, number of processes), as the launcher set them: known before any process group exists."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def gather(local: Sequence[Item]) -> tuple[list[Item], slice]:
    """The rows of all processes in rank order, and where this process's own stand among them.

    A collective: every process must call it, and with picklable items. One process gathers nothing.
    """
    rank, world = process()
    if world == 1:
        return list(local), slice(0, len(local))
    import torch.distributed

    parts: list[list[Item]] = [[] for _ in range(world)]
    torch.distributed.all_gather_object(parts, list(local))
    start = sum(len(part) for part in parts[:rank])
    return [item for part in parts for item in part], slice(start, start + len(local))


def groups(size: int, num_generations: int, keys: Sequence[object]) -> list[range]:
    """The index ranges of the groups in `size` gathered rows.

    Args:
        keys: one value per row that all siblings share and that tells prompts apart.

    Raises:
        RewardError: the rows are not whole groups, so that no diversity in a group could be right.
    """
    if size % num_generations:
        raise RewardError(f"{size} completions are no whole number of groups of {num_generations}")
    found = [range(start, start + num_generations) for start in range(0, size, num_generations)]
    for group in found:
        if any(keys[i] != keys[group.start] for i in group):
            raise RewardError(f"rows {group.start} to {group.stop - 1} belong to different prompts; groups are cut")
    return found
