"""Evaluation of a model folder outside a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from divrl.check import Checked
from divrl.data.domains import heldout_rows
from divrl.errors import EnvironmentFault
from divrl.loading import load_model, quiet_libraries
from divrl.types import Split


def evaluate_folder(checked: Checked, model: str, split: Split) -> dict[str, Any]:
    """Evaluates a model with a recipe's domains, rewards and sampling.

    Args:
        model: a model folder or hub id, a run folder (its final model), or "base" for the recipe's own model.

    Raises:
        EnvironmentFault: there is no such model.
    """
    import torch

    from divrl.evaluation.evaluate import evaluate
    from divrl.evaluation.sampling import Sampling
    from divrl.recipe import Evaluation
    from divrl.trainer_fields import config_fields

    quiet_libraries()
    bound, spec = checked.bound, checked.bound.recipe.evaluation or Evaluation()
    path = bound.model() if model == "base" else model
    if (Path(path) / "model").is_dir():
        path = str(Path(path) / "model")
    elif (Path(path) / "recipe.json").exists():
        raise EnvironmentFault(
            f"{path}: the run is not finished; name one of its checkpoints or finish it with --resume"
        )
    loaded: Any
    loaded, tokenizer = load_model(path)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded.to(device).eval()

    def value(name: str) -> Any:
        return bound.recipe.trainer.get(name, config_fields()[name].default)

    sampling = Sampling(
        value("max_completion_length"),
        value("temperature"),
        value("top_p"),
        value("top_k"),
        failure_budget=bound.recipe.failures.budget,
    )
    rows = {domain.name: heldout_rows(domain, split, spec.prompts) for domain in bound.domains}
    return evaluate(loaded, tokenizer, bound, rows, spec.samples, spec.k, sampling)
