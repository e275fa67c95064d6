"""What each picture says, computed from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from divrl.report.runs import Run


def _percent(value: float) -> str:
    return f"{value:.0%}"


def formats_sentence(runs: Sequence[Run], domain: str) -> str:
    """Which format each run ends with, and when one took over."""
    told = []
    for run in runs:
        if not run.formats:
            continue
        last = run.formats[-1]
        first_entropy, end_entropy = (run.series(domain, "entropy_per_prompt")[i] for i in (0, -1))
        kept = (
            f"{_percent(end_entropy / first_entropy)} of the base model's entropy within a prompt"
            if first_entropy > 0
            else "no entropy to keep"
        )
        collapse = last.get(f"format/{domain}/collapse_epoch")
        when = f", one format passing the collapse mark at epoch {collapse:g}" if collapse is not None else ""
        told.append(
            f"{run.name} keeps {kept}; its most frequent format is {last[f'format/{domain}/top']} with {_percent(last[f'format/{domain}/top_share'])}{when}"
        )
    return "; ".join(told) + "." if told else "No formats were measured."


def winner_sentence(run: Run, domain: str) -> str:
    """Whether the format that is most frequent at the end was the most frequent or the most accurate at the start."""
    if len(run.formats) < 2:
        return ""
    first, last = run.formats[0], run.formats[-1]
    share, accuracy = (
        {key.removeprefix(p): float(value) for key, value in first.items() if key.startswith(p) and value is not None}
        for p in (f"format/{domain}/share/", f"format/{domain}/accuracy/")
    )
    known = {name: value for name, value in share.items() if value > 0.01 and name != "other"}
    if len(known) < 2:
        return ""
    frequent = max(known, key=lambda name: known[name])
    accurate = max(known, key=lambda name: accuracy.get(name, 0.0))
    winner = last[f"format/{domain}/top"]
    was = [text for text, name in (("most frequent", frequent), ("most accurate", accurate)) if name == winner]
    said = (
        f"the {' and the '.join(was)} format at the start"
        if was
        else f"neither the most frequent ({frequent}) nor the most accurate ({accurate}) at the start"
    )
    return f"{run.name}: {winner} leads at the end, {said}."


def tradeoff_sentence(runs: Sequence[Run], domain: str) -> str:
    """Where each run ends against the base."""
    told = []
    for run in runs:
        right, spread = run.series(domain, "valid"), run.series(domain, "entropy_per_prompt_normalised")
        if right:
            told.append(
                f"{run.name} goes from {_percent(right[0])} right at entropy {spread[0]:.2f} to {_percent(right[-1])} at {spread[-1]:.2f}"
            )
    return "; ".join(told) + "." if told else ""


def pass_sentence(runs: Sequence[Run], domain: str) -> str:
    """How pass@1 and pass@k at the largest k changed."""
    told = []
    for run in runs:
        before, after = run.pass_curve(domain, 0), run.pass_curve(domain, -1)
        shared = sorted(set(before) & set(after))
        if not shared:
            continue
        low, high = shared[0], shared[-1]
        told.append(
            f"{run.name}: pass@{low} {before[low]:.3f} -> {after[low]:.3f}, pass@{high} {before[high]:.3f} -> {after[high]:.3f}"
        )
    return "; ".join(told) + "." if told else "The runs were not evaluated before and after."


ONE_SEED = "One seed each: a difference between two single runs is an illustration, not evidence."
