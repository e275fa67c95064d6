"""One self-contained HTML page about one or several runs, with PNG and CSV files beside it."""

from __future__ import annotations

import base64
import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader

from divrl.errors import Problem, RecipeError
from divrl.report import sentences
from divrl.report.plots import accuracy_against_diversity, format_shares, pass_at_k_curves
from divrl.report.runs import Run, load_run

STATISTICS = (
    ("entropy_per_prompt_normalised", "format entropy a prompt, test prompts"),
    ("entropy_normalised", "format entropy over all, test prompts"),
    ("top_share", "share of the top format"),
    ("distinct_valid", "distinct right answers / samples"),
    ("template_entropy", "entropy of right formats (nats)"),
)


@dataclass(frozen=True)
class Figure:
    """A picture, the sentences over it, and the words for those who cannot see it."""

    file: str
    data: str
    says: str
    alt: str


@dataclass(frozen=True)
class Section:
    """One domain of the page."""

    domain: str
    kind: str
    figures: list[Figure]
    header: list[str]
    rows: list[list[str]]


def _figure(path: Path, says: str, alt: str) -> Figure:
    return Figure(path.name, base64.b64encode(path.read_bytes()).decode(), says, alt)


def _section(runs: Sequence[Run], domain: str, plots: Path) -> Section:
    figures = []
    with_formats = [run for run in runs if run.formats and domain in run.domains]
    if with_formats:
        says = sentences.formats_sentence(with_formats, domain)
        winners = " ".join(filter(None, (sentences.winner_sentence(run, domain) for run in with_formats)))
        path = format_shares(with_formats, domain, plots / f"formats_{domain}.png")
        figures.append(_figure(path, f"{says} {winners}".strip(), f"share of each format over the epochs, {domain}"))
        path = accuracy_against_diversity(with_formats, domain, plots / f"accuracy_diversity_{domain}.png")
        figures.append(
            _figure(
                path,
                sentences.tradeoff_sentence(with_formats, domain),
                f"right answers against format entropy, {domain}",
            )
        )
    evaluated = [run for run in runs if run.pass_curve(domain, 0) or run.pass_curve(domain, -1)]
    if evaluated:
        path = pass_at_k_curves(evaluated, domain, plots / f"pass_at_k_{domain}.png")
        figures.append(_figure(path, sentences.pass_sentence(evaluated, domain), f"pass@k before and after, {domain}"))
    header, rows = table(evaluated, domain)
    return Section(domain, runs[0].kind(domain), figures, header, rows)


def table(runs: Sequence[Run], domain: str) -> tuple[list[str], list[list[str]]]:
    """The runs in numbers: a row a statistic, a column for the base model and for each run.

    First the format entropy at the end of each epoch, as the monitor saw it; then the evaluation on the test prompts.
    """
    if not runs:
        return [], []
    rows = []
    epochs = sorted({row["epoch"] for run in runs for row in run.formats if row["epoch"] == round(row["epoch"])})
    for epoch in epochs:
        values = [run.at_epoch(domain, "entropy_per_prompt_normalised", epoch) for run in runs]
        base = f"{values[0]:.3f}" if epoch == 0 and values[0] is not None else ""
        shown = ["" if value is None or epoch == 0 else f"{value:.3f}" for value in values]
        rows.append([f"format entropy a prompt, epoch {epoch:g}", base, *shown])
    ks = sorted({k for run in runs for which in (0, -1) for k in run.pass_curve(domain, which)})
    for key, words in [*((f"pass@{k}", f"pass@{k}") for k in ks), *STATISTICS]:
        values = [runs[0].evaluated(domain, key, 0), *(run.evaluated(domain, key, -1) for run in runs)]
        if any(value is not None for value in values):
            rows.append([words, *("" if value is None else f"{value:.3f}" for value in values)])
    return ["", "base model", *(run.name for run in runs)], rows


@dataclass(frozen=True)
class Report:
    """Where a report was written, and its tables."""

    page: Path
    sections: list[Section]


def write_report(folders: Sequence[Path], output: Path) -> Report:
    """Writes `report.html` and `plots/` into `output`.

    Completions never reach the page unescaped, and it loads nothing: it opens anywhere.

    Raises:
        RecipeError: a folder that is no run, or has nothing to show.
    """
    runs = [load_run(folder) for folder in folders]
    plots = output / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    domains = [name for name in runs[0].domains if all(name in run.domains for run in runs)]
    sections = [_section(runs, domain, plots) for domain in domains]
    for section in sections:
        if section.rows:
            with (plots / f"numbers_{section.domain}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([section.header, *section.rows])
    if not any(section.figures for section in sections):
        names = ", ".join(str(folder) for folder in folders)
        raise RecipeError([Problem(names, "nothing was measured yet", "a measurement of formats or an evaluation")])
    seeds = {str(run.recipe["seed"]) for run in runs}
    environment = Environment(
        loader=PackageLoader("divrl.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.get_template("page.html").render(
        runs=runs, sections=sections, caveat=sentences.ONE_SEED, seeds=", ".join(sorted(seeds)),
        unfinished=[run.name for run in runs if not run.finished],
    )  # fmt: skip
    page = output / "report.html"
    page.write_text(html, encoding="utf-8")
    return Report(page, sections)
