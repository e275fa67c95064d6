"""pass@k and the diversity of samples: what a model can do, and in how many ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy.special import gammaln

from divrl.evaluation.sampling import Samples

OTHER = "other"  # what fingerprints call a text in no format of theirs


def pass_at_k(correct: Sequence[int] | np.ndarray, samples: int, k: int) -> float:
    """The chance that at least one of k samples is right, averaged over prompts: 1 - C(n - c, k) / C(n, k).

    The unbiased estimator of Chen et al. 2021 (arXiv:2107.03374).

    Args:
        correct: c, right samples per prompt; shape (B,).
        samples: n, samples per prompt.
        k: at most n.

    Returns:
        In [0, 1]; NaN for no prompts.

    Raises:
        ValueError: k is not in [1, n].
    """
    if not 1 <= k <= samples:
        raise ValueError(f"k = {k} with {samples} samples; expected 1 <= k <= {samples}")
    c = np.asarray(correct, dtype=float)
    if not c.size:
        return float("nan")
    wrong = samples - c
    with np.errstate(invalid="ignore"):
        log_miss = gammaln(wrong + 1) - gammaln(wrong - k + 1) - gammaln(samples + 1) + gammaln(samples - k + 1)
    miss = np.where(wrong < k, 0.0, np.exp(np.where(wrong < k, 0.0, log_miss)))
    return float(np.mean(1 - miss))


def entropy(counts: Iterable[int]) -> float:
    """The Shannon entropy of counts, in nats; 0 for none or for one kind."""
    values = np.array([count for count in counts if count > 0], dtype=float)
    if values.size < 2:
        return 0.0
    shares = values / values.sum()
    return float(-(shares * np.log(shares)).sum())


def format_statistics(found: Samples, known: Sequence[str] | None = None) -> dict[str, Any]:
    """Shares of the formats and how evenly they are used.

    Args:
        found: samples of one domain, shape (B, S).
        known: the formats that count as all there are, for the normalisation; by default those with a share above
            1 % here, without "other". The normalised entropies of one run share the base model's formats.

    Returns:
        share: {format: share of all samples}; accuracy: {format: share correct within it}; entropy: of the shares over all
        prompts, in nats; entropy_per_prompt: the mean over prompts of the entropy within a prompt, in nats (the first stays
        high when a model merely routes prompts to formats); entropy_normalised, entropy_per_prompt_normalised: divided
        by log of the number of known formats (above 1 where a model uses further ones); effective: exp(entropy); top, top_share: the most frequent format.
    """
    flat = [name for row in found.formats for name in row]
    total = Counter(flat)
    right: Counter[str] = Counter()
    for names, row in zip(found.formats, found.correct, strict=True):
        right.update(name for name, ok in zip(names, row, strict=True) if ok)
    size = max(1, len(flat))
    names = list(known) if known else [name for name, n in total.items() if n > 0.01 * size and name != OTHER]
    scale = np.log(max(2, len(names)))
    marginal = entropy(total.values())
    within = float(np.mean([entropy(Counter(row).values()) for row in found.formats])) if found.formats else 0.0
    top, count = total.most_common(1)[0] if total else ("", 0)
    return {
        "share": {name: n / size for name, n in total.most_common()},
        "accuracy": {name: right[name] / n for name, n in total.most_common()},
        "entropy": marginal,
        "entropy_per_prompt": within,
        "entropy_normalised": marginal / scale,
        "entropy_per_prompt_normalised": within / scale,
        "effective": float(np.exp(marginal)),
        "top": top,
        "top_share": count / size,
    }


def diversity_statistics(found: Samples) -> dict[str, float]:
    """How many different things the right samples of a prompt are, averaged over prompts.

    Returns:
        valid: share of right samples; distinct_valid: different right texts per prompt / samples, so that neither
        being wrong nor repeating counts; template_entropy: entropy of the formats among a prompt's right samples, nats.
    """
    samples = found.correct.shape[1] if found.correct.size else 1
    distinct, templates = [], []
    for texts, names, row in zip(found.texts, found.formats, found.correct, strict=True):
        right = [i for i, ok in enumerate(row) if ok]
        distinct.append(len({texts[i] for i in right}) / samples)
        templates.append(entropy(Counter(names[i] for i in right).values()))
    return {
        "valid": float(found.correct.mean()) if found.correct.size else 0.0,
        "distinct_valid": float(np.mean(distinct)) if distinct else 0.0,
        "template_entropy": float(np.mean(templates)) if templates else 0.0,
    }
