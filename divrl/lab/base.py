"""Pretraining of a lab base model, saved as an ordinary Hugging Face checkpoint and cached by its settings.

A tiny Llama is trained on the lab's corpus in about a CPU-minute. The loop is written out because a trainer's
bookkeeping would cost more than the model's own arithmetic at this size.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from divrl.lab.corpus import build_tokenizer, documents
from divrl.lab.settings import WorldSettings

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

IGNORED = -100
WARMUP_STEPS = 100
FINAL_RATE = 0.05  # share of the learning rate that the cosine ends at
BUCKET = 32  # steps' worth of documents that are sorted by length together


def cache_folder() -> Path:
    """Where base models are kept: $DIVRL_CACHE, else $XDG_CACHE_HOME/divrl, else ~/.cache/divrl."""
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "divrl"
    return Path(os.environ.get("DIVRL_CACHE", default))


def checkpoint_folder(settings: WorldSettings) -> Path:
    """The folder of the base model with these settings, whether or not it has been trained."""
    return cache_folder() / "lab" / settings.key()


def ensure_base(settings: WorldSettings, progress: Callable[[int, int, float], None] | None = None) -> Path:
    """The checkpoint folder of the base model, trained first if the cache does not hold it.

    Two processes may call this at once: one trains, the other waits for the lock. A folder is renamed into place
    only when it is whole, so that an interrupted training leaves nothing behind that could be taken for a model.

    Args:
        progress: called with (step, steps, loss) about fifty times during training.
    """
    from filelock import FileLock

    folder = checkpoint_folder(settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            aside = folder.with_suffix(".partial")
            shutil.rmtree(aside, ignore_errors=True)
            with _one_thread():
                pretrain(settings, aside, progress)
            aside.rename(folder)
    return folder


@contextmanager
def _one_thread() -> Iterator[None]:
    """A second thread would cost more than it computes at this size, and would change the last bits of the weights."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batches(settings: WorldSettings) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """All (input_ids, labels) batches of one pretraining, right-padded, documents of like length together."""
    import torch

    tokenizer = build_tokenizer()
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    size = settings.documents_per_step
    pairs = list(itertools.islice(documents(settings), settings.steps * size))
    prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
    completions = tokenizer([completion for _, completion in pairs])["input_ids"]
    examples = [(p + c + [eos], len(p)) for p, c in zip(prompts, completions, strict=True)]
    rng = random.Random(settings.seed)
    batches = []
    for low in range(0, len(examples), BUCKET * size):
        bucket = sorted(examples[low : low + BUCKET * size], key=lambda example: len(example[0]))
        chunks = [bucket[i : i + size] for i in range(0, len(bucket), size)]
        rng.shuffle(chunks)
        for chunk in chunks:
            width = max(len(ids) for ids, _ in chunk)
            ids = torch.tensor([ids + [pad] * (width - len(ids)) for ids, _ in chunk])
            labels = torch.tensor(
                [[IGNORED] * start + ids[start:] + [IGNORED] * (width - len(ids)) for ids, start in chunk]
            )
            batches.append((ids, labels))
    return batches


def save_model_files(model: PreTrainedModel, folder: Path) -> None:
    """Writes an ordinary checkpoint (safetensors, configuration) from whichever process calls it.

    `save_pretrained` leaves the weights out on all ranks but the first, and any rank may be the one that builds a model.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)
    weights, seen = {}, set[int]()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:  # a tied weight stands once, under its first name, as transformers expects
            seen.add(tensor.data_ptr())
            weights[name] = tensor.contiguous()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def pretrain(settings: WorldSettings, folder: Path, progress: Callable[[int, int, float], None] | None = None) -> None:
    """Trains the model from scratch (loss on completions only) and saves model and tokenizer in `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = build_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=settings.hidden_size, intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers, num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads, max_position_embeddings=256, tie_word_embeddings=True,
        initializer_range=settings.initializer_range, bos_token_id=None, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = LlamaForCausalLM(config)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / WARMUP_STEPS)
        return warm * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * step / settings.steps)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    report_every = max(1, settings.steps // 50)
    for step, (ids, labels) in enumerate(_batches(settings)):
        # right padding under a causal mask: no answer token ever sees a pad, so no attention mask is needed
        loss = model(input_ids=ids, labels=labels, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if progress and step % report_every == 0:
            progress(step, settings.steps, float(loss.detach()))
    model.eval()
    save_model_files(model, folder)
    tokenizer.save_pretrained(folder)
    (folder / "world.json").write_text(settings.model_dump_json(indent=2))
