"""Rewards of reasoning-gym's own scorers (package `reasoning-gym`)."""

from __future__ import annotations

import json
import re
from functools import cache

from reward_models.completion import Completions, texts

__all__ = ["gym_score"]

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)


@cache
def _scorer(task: str):  # type: ignore[no-untyped-def]
    from reasoning_gym.factory import get_score_answer_fn

    return get_score_answer_fn(task)


def gym_score(
    prompts: list[object], completions: Completions, gym_task: list[str], gym_entry: list[str], **kwargs: object
) -> list[float | None]:
    """The score that the task's own reasoning-gym scorer gives, in [0, 1].

    The answer is the content of the last `<answer>` tag, else the whole text stripped.

    Args:
        gym_task: column; the name of the reasoning-gym task.
        gym_entry: column; the task's entry as JSON (question, answer, metadata).

    Returns:
        One score per completion; 0 for an empty answer; None where the scorer itself failed.
    """
    scores: list[float | None] = []
    for text, task, entry in zip(texts(completions), gym_task, gym_entry, strict=True):
        tagged = _TAGGED.findall(text)
        answer = (tagged[-1] if tagged else text).strip()
        try:
            scores.append(float(_scorer(task)(answer, json.loads(entry))) if answer else 0.0)
        except Exception:
            scores.append(None)
    return scores
