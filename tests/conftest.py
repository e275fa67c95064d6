"""Fixtures: a tiny lab model built once, small recipes, and the command line in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ["WANDB_MODE"] = "offline"
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Lab models of the tests live in a folder of their own; Gemma's conversion is kept between runs."""
    folder = Path(os.environ.get("DIVRL_TEST_CACHE", tmp_path_factory.mktemp("cache")))
    before = os.environ.get("DIVRL_CACHE")
    os.environ["DIVRL_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["DIVRL_CACHE"]
    else:
        os.environ["DIVRL_CACHE"] = before


@pytest.fixture(scope="session")
def tiny_base(cache) -> Path:
    """A base model of the `tiny` preset."""
    from divrl.models import lab

    return Path(lab(preset="tiny"))


PARTS = """
def variety(prompts, completions, **kwargs):
    return [len(set(text.split())) / max(1, len(text.split())) for text in completions]
"""
TINY_RECIPE = {
    "name": "tiny",
    "model": {"use": "lab", "preset": "tiny"},
    "domains": {
        "maths": {
            "kind": "structured",
            "data": {"use": "lab_problems", "n": 12},
            "fingerprint": "lab_solution",
            # a model of this size solves nothing, so a dense reward from a file beside the recipe gives it something to learn
            "terms": {"solved": "lab_solved", "variety": {"use": "parts.variety", "weight": 0.5}},
            "bonus": {"metric": "format_rarity", "weight": 0.5, "gate": "none"},
        },
        "lines": {
            "kind": "creative",
            "data": {"use": "lab_lines", "n": 4},
            "fingerprint": "lab_line",
            "terms": {"valid": "lab_valid_line"},
            "bonus": {"metric": {"use": "ngram_novelty", "n": 2}, "gate": "none", "floor": 0.1},
        },
    },
    "monitors": {"format": {"prompts": 3, "samples": 4}},
    "evaluation": {"prompts": 3, "samples": 4, "k": [1, 4]},
    "trainer": {
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": 16,
        "use_cpu": True,
    },
}


@pytest.fixture
def write_recipe(tmp_path) -> Callable[..., Path]:
    """Writes a tiny recipe with changes laid over it; runs land beside it."""
    from divrl.recipe import merge

    def write(changes: dict | None = None, name: str = "recipe.yaml") -> Path:
        content = merge(TINY_RECIPE | {"output": str(tmp_path / "runs")}, changes or {})
        path = tmp_path / name
        (tmp_path / "parts.py").write_text(PARTS)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return write


@pytest.fixture
def divrl(tmp_path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs the command line in another process, in a folder of its own."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "divrl", *map(str, arguments)],
            capture_output=True, text=True, cwd=tmp_path, env=os.environ | environment, timeout=280,
        )  # fmt: skip

    return run
