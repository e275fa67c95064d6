"""Models and tokenizers from disk or hub, loaded as divrl always loads them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from divrl.errors import EnvironmentFault

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


ONE_THREAD_BELOW = 1_000_000  # parameters; for less, a second thread costs more than it computes


def quiet_libraries() -> None:
    """Keeps progress bars and advice of the libraries out of divrl's own screen; warnings and errors still show."""
    import datasets
    import transformers

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(trl|transformers|torch)\.")


def load_model(path: str, dtype: Any = "auto") -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A causal language model (or a LoRA adapter with its base) and its tokenizer, padding on the left.

    Only safetensors weights are read, and no code from the model's repository is run.

    Raises:
        EnvironmentFault: there is no such model, or it cannot be loaded under these rules.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
        if (Path(path) / "adapter_config.json").exists():
            from peft import AutoPeftModelForCausalLM

            model = AutoPeftModelForCausalLM.from_pretrained(path, dtype=dtype)
        else:
            model = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True, dtype=dtype)
    except (OSError, ValueError) as error:
        raise EnvironmentFault(f"model {path}: {str(error).splitlines()[0]}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if model.device.type == "cpu" and model.num_parameters() < ONE_THREAD_BELOW:
        import torch

        torch.set_num_threads(1)
    return model, tokenizer
