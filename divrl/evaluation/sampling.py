"""Samples of a model on held-out prompts, scored and named by format: what monitors and evaluation look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from divrl.diversity.bonus import CORRECT
from divrl.errors import RewardError
from divrl.generation import encode, sample
from divrl.mix import OUTSIDE_TRAINING, MixDomain, Scored, score_terms, task_values, too_many_failed
from divrl.rollout import gather, process
from divrl.types import Domain, Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROWS_AT_ONCE = 4096  # completions sampled together


@dataclass(frozen=True)
class Samples:
    """B prompts with S samples each.

    `texts` and `formats` have shape (B, S) as nested lists; `values` is the task reward (B, S), NaN where masked;
    `correct` says whether the domain's first term gave its full score.
    """

    domain: str
    texts: list[list[str]]
    formats: list[list[str]]
    values: np.ndarray
    correct: np.ndarray
    tokens: int


@dataclass(frozen=True)
class Sampling:
    """How to sample: the recipe's own rollout settings, so that what is measured is what is trained."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    seed: int = 0
    failure_budget: float = 0.05


def sample_domain(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, domain: Domain, mix: MixDomain, rows: Sequence[Row],
    samples: int, sampling: Sampling,
) -> Samples:  # fmt: skip
    """Samples and scores held-out rows of one domain, the prompts shared out over the processes.

    The randomness is its own (one generator per prompt block, seeded), so that measuring changes nothing in training and
    two measurements of the same weights agree.
    """
    rank, world = process()
    share = -(-len(rows) // world)
    own = list(rows[rank * share : (rank + 1) * share])
    prompts: list[Any] = [row["prompt"] for row in own]
    training = model.training
    model.eval()
    found: list[Measured | RewardError] = []
    ends = eos_ids(model, tokenizer)
    encoded = encode(tokenizer, prompts) if prompts else []
    block = max(1, ROWS_AT_ONCE // samples)
    for low in range(0, len(own), block):
        generator = torch.Generator(device=model.device).manual_seed(sampling.seed + 1_000_003 * (rank * share + low))
        ids = sample(
            model, encoded[low : low + block], samples, max_new_tokens=sampling.max_new_tokens, eos_ids=ends,
            temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k, generator=generator,
        )  # fmt: skip
        texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
        for b, row in enumerate(own[low : low + block]):
            part = slice(b * samples, (b + 1) * samples)
            try:
                found.append(_measured(domain, mix, row, texts[part], sum(map(len, ids[part]))))
            except RewardError as broken:
                found.append(broken)  # carried to every process, so that none is left waiting in a collective
    model.train(training)
    gathered, _ = gather(found)
    everything = [prompt for prompt in gathered if isinstance(prompt, Measured)]
    if len(everything) < len(gathered):
        raise next(prompt for prompt in gathered if isinstance(prompt, RewardError))
    if error := too_many_failed([row for prompt in everything for row in prompt.scored], sampling.failure_budget):
        raise RewardError(f"on held-out prompts too many scores failed; the first: {error}")
    nan = float("nan")
    return Samples(
        domain.name,
        [[row.text for row in prompt.scored] for prompt in everything],
        [prompt.formats for prompt in everything],
        np.array([[nan if v is None else v for v in task_values(mix, prompt.scored, 1.0)] for prompt in everything]),
        np.array([[row.scores[0] is not None and row.scores[0] >= CORRECT for row in p.scored] for p in everything]),
        sum(prompt.tokens for prompt in everything),
    )


@dataclass(frozen=True)
class Measured:
    """One prompt's samples: scored, and named by format."""

    scored: list[Scored]
    formats: list[str]
    tokens: int


def _measured(domain: Domain, mix: MixDomain, row: Row, texts: list[str], tokens: int) -> Measured:
    prompt: Any = row["prompt"]
    completions: list[Any] = [[{"role": "assistant", "content": t}] if isinstance(prompt, list) else t for t in texts]
    columns = {key: [value] * len(texts) for key, value in row.items() if key != "prompt"}
    scored = score_terms(mix, [prompt] * len(texts), completions, columns, **OUTSIDE_TRAINING)
    try:
        formats = [str(domain.fingerprint(text)) for text in texts]
    except Exception as error:
        raise RewardError(f"fingerprint of domain {domain.name!r} raised {type(error).__name__}: {error}") from error
    return Measured(scored, formats, tokens)


def eos_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids that end a completion: the generation configuration's and the tokenizer's."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({i for i in [*ids, tokenizer.eos_token_id] if isinstance(i, int)})
