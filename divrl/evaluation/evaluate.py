"""The evaluation of one model on every domain's held-out prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from divrl.bind import BoundRecipe
from divrl.evaluation.pass_at_k import diversity_statistics, format_statistics, pass_at_k
from divrl.evaluation.sampling import Sampling, sample_domain
from divrl.types import Row

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def evaluate(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, bound: BoundRecipe, rows: Mapping[str, Sequence[Row]],
    samples: int, ks: Sequence[int], sampling: Sampling, known: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """`evaluation/<domain>/<statistic>` for every domain.

    Statistics: pass@k for each k up to `samples` (a sample passes with the full score of the domain's first term),
    score (mean task reward), valid, distinct_valid, template_entropy, entropy, entropy_per_prompt, their normalised forms,
    top_share, share/<format>, accuracy/<format>, prompts, samples, tokens.

    Args:
        known: the base model's formats by domain, by whose number entropies are normalised; without it this model's own.
    """
    row: dict[str, Any] = {}
    for domain, mix in zip(bound.domains, bound.mix, strict=True):
        found = sample_domain(model, tokenizer, domain, mix, rows[domain.name], samples, sampling)
        prefix = f"evaluation/{domain.name}"
        right = found.correct.sum(axis=1)
        for k in ks:
            if k <= samples:
                row[f"{prefix}/pass@{k}"] = pass_at_k(right, samples, k)
        statistics = format_statistics(found, (known or {}).get(domain.name))
        for kind in ("share", "accuracy"):
            values = statistics.pop(kind)
            row |= {f"{prefix}/{kind}/{name}": values[name] for name in list(values)[:20]}
        row |= {f"{prefix}/{name}": value for name, value in (statistics | diversity_statistics(found)).items()}
        judged = found.values[found.values == found.values]
        row[f"{prefix}/score"] = float(judged.mean()) if judged.size else float("nan")
        row |= {f"{prefix}/prompts": len(found.texts), f"{prefix}/samples": samples, f"{prefix}/tokens": found.tokens}
    return row
