"""The report's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter

from divrl.report.runs import Run

# a colour-blind-safe palette (Okabe and Ito 2008)
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8C6D46")
GREY = "#B0B0B0"
STYLE: dict[str, Any] = {
    "font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11,
    "axes.titleweight": "bold", "axes.titlelocation": "left", "figure.dpi": 130, "savefig.bbox": "tight",
    "axes.edgecolor": "#888888", "axes.labelcolor": "#444444", "xtick.color": "#444444", "ytick.color": "#444444",
    "text.parse_math": False,
}  # fmt: skip


def _save(figure: Any, path: Path) -> Path:
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)
    return path


def format_shares(runs: Sequence[Run], domain: str, path: Path) -> Path:
    """Share of each format over the epochs, one panel a run, the same colours in all."""
    names: list[str] = list(dict.fromkeys(name for run in runs for name in run.shares(domain)[1]))
    names = [name for name in names if name != "others"] + (["others"] if "others" in names else [])
    colours = {name: GREY if name == "others" else PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(runs), figsize=(4.1 * len(runs) + 1.2, 3.2), sharey=True, squeeze=False)
        for axis, run in zip(axes[0], runs, strict=True):
            epochs, curves = run.shares(domain)
            shown = [name for name in names if name in curves]
            axis.stackplot(
                epochs, [curves[n] for n in shown], colors=[colours[n] for n in shown], edgecolor="white", linewidth=0.8
            )
            axis.set(
                title=f"{run.name}\n", xlabel="epoch", xlim=(epochs[0], max(epochs[-1], epochs[0] + 1e-9)), ylim=(0, 1)
            )
            axis.text(
                0, 1.02, run.paid_for(domain), transform=axis.transAxes, fontsize=8.5, color="#666666", va="bottom"
            )
            axis.yaxis.set_major_formatter(PercentFormatter(1))
        axes[0][0].set_ylabel(f"share of the answers ({domain})")
        handles = [plt.Rectangle((0, 0), 1, 1, color=colours[name]) for name in names]
        figure.legend(handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(0.93, 0.5), frameon=False)
        return _save(figure, path)


def accuracy_against_diversity(runs: Sequence[Run], domain: str, path: Path) -> Path:
    """The way of each run from its base: right answers against the entropy of the formats within a prompt."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.6, 3.9))
        for i, run in enumerate(runs):
            x = run.series(domain, "entropy_per_prompt_normalised")
            y = run.series(domain, "valid")
            colour = PALETTE[i % len(PALETTE)]
            axis.plot(x, y, "-", color=colour, alpha=0.55, linewidth=1.4)
            axis.plot(x[1:-1], y[1:-1], ".", color=colour, markersize=5)
            axis.plot(x[-1:], y[-1:], "o", color=colour, markersize=9, label=f"{run.name}, end")
        first = runs[0]
        start_x, start_y = first.series(domain, "entropy_per_prompt_normalised")[:1], first.series(domain, "valid")[:1]
        axis.plot(start_x, start_y, "D", color="#333333", markersize=7, label="base model")
        axis.set(
            xlabel="entropy of the formats within a prompt (normalised)",
            ylabel="share of right answers",
            title=f"{domain}: accuracy against diversity",
        )
        axis.set_xlim(-0.03, 1.05)
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.grid(alpha=0.25)
        axis.legend(frameon=False, fontsize=9)
        return _save(figure, path)


def pass_at_k_curves(runs: Sequence[Run], domain: str, path: Path) -> Path:
    """pass@k of the base model and of every run at its end."""
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.6, 3.6))
        base = runs[0].pass_curve(domain, 0)
        ends = [(run, run.pass_curve(domain, -1)) for run in runs]
        for curve, label, style in [(base, "base model", {"color": "#333333", "linestyle": "--", "marker": "D"})] + [
            (curve, run.name, {"color": PALETTE[i % len(PALETTE)], "marker": "o"})
            for i, (run, curve) in enumerate(ends)
        ]:
            if curve:
                ks = sorted(curve)
                axis.plot(ks, [curve[k] for k in ks], label=label, linewidth=1.8, markersize=5, **style)
        ks = sorted({k for _, curve in ends for k in curve} | set(base))
        axis.set_xscale("log", base=2)
        axis.set_xticks(ks, [str(k) for k in ks])
        axis.set(xlabel="k, samples per problem", ylabel="pass@k", title=f"{domain}: pass@k before and after")
        axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axis.grid(alpha=0.25)
        axis.legend(frameon=False, fontsize=9)
        return _save(figure, path)
