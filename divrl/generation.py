"""Sampling of whole groups: each prompt is prefilled once for all its samples, finished rows are dropped.

`generate` of transformers repeats a prompt for every sample and keeps computing rows that have ended. For the
models that fit a CPU both cost more than the sampling itself. The greedy output is that of `generate`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

COMPACT_BELOW = 0.8  # drop finished rows when fewer than this share is still growing


def encode(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Any]) -> list[list[int]]:
    """Token ids of plain or conversational prompts, as TRL's trainer encodes them."""
    ids: Any
    if prompts and isinstance(prompts[0], list):
        messages: Any = prompts
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    else:
        ids = tokenizer(prompts)["input_ids"]
    return [list(row) for row in ids]


def sample(
    model: PreTrainedModel,
    prompt_ids: list[list[int]],
    num_samples: int,
    *,
    max_new_tokens: int,
    eos_ids: list[int],
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = 0,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Samples `num_samples` completions of every prompt.

    Args:
        prompt_ids: B prompts as token ids, none empty.
        max_new_tokens: tokens per completion at the most; a longer one is cut and has no end token.
        eos_ids: token ids that end a completion (kept as its last token).
        temperature: 0 means greedy.
        generator: randomness of its own; None takes torch's global one.

    Returns:
        B * num_samples lists of token ids, the samples of a prompt next to each other.
    """
    if not prompt_ids:
        return []
    device = model.device
    warpers = _warpers(temperature, top_p, top_k)
    width = max(len(ids) for ids in prompt_ids)
    ids = torch.tensor([[0] * (width - len(row)) + row for row in prompt_ids], device=device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in prompt_ids], device=device)
    ends = torch.tensor(eos_ids, device=device)
    rows = torch.arange(len(prompt_ids) * num_samples, device=device)
    done = torch.zeros(len(rows), dtype=torch.bool, device=device)
    tokens = torch.full((len(rows), max_new_tokens), -1, dtype=torch.long, device=device)
    with torch.no_grad():
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        out = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1)
        cache = out.past_key_values
        cache.batch_repeat_interleave(num_samples)
        logits = out.logits[:, -1].repeat_interleave(num_samples, 0)
        mask = mask.repeat_interleave(num_samples, 0)
        position = positions[:, -1:].repeat_interleave(num_samples, 0)
        for t in range(max_new_tokens):
            chosen = _choose(logits.float(), warpers, temperature, generator)
            tokens[rows[~done], t] = chosen[~done]
            done |= torch.isin(chosen, ends)
            if t + 1 == max_new_tokens or bool(done.all()):
                break
            if (~done).sum() < COMPACT_BELOW * len(done):
                keep = (~done).nonzero().squeeze(1)
                cache.batch_select_indices(keep)
                rows, done, chosen, mask, position = rows[keep], done[keep], chosen[keep], mask[keep], position[keep]
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            position = position + 1
            out = model(
                input_ids=chosen[:, None], attention_mask=mask, position_ids=position, past_key_values=cache,
                use_cache=True,
            )  # fmt: skip
            logits = out.logits[:, -1]
    lengths = (tokens >= 0).sum(1).tolist()
    return [row[:length] for row, length in zip(tokens.tolist(), lengths, strict=True)]


def _warpers(temperature: float, top_p: float, top_k: int) -> list[object]:
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    warpers: list[object] = []
    if temperature not in (0.0, 1.0):
        warpers.append(TemperatureLogitsWarper(temperature))
    if top_k > 0:
        warpers.append(TopKLogitsWarper(top_k))
    if top_p < 1:
        warpers.append(TopPLogitsWarper(top_p))
    return warpers


def _choose(
    logits: torch.Tensor, warpers: list[object], temperature: float, generator: torch.Generator | None
) -> torch.Tensor:
    if temperature == 0:
        return logits.argmax(-1)
    for warp in warpers:
        logits = warp(None, logits)  # type: ignore[operator]
    # the Gumbel trick draws from the softmax in one pass and is several times faster than multinomial on CPU
    noise = torch.empty_like(logits).exponential_(generator=generator)
    return (logits.softmax(-1) / noise).argmax(-1)
