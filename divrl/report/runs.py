"""Run folders as the report reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from divrl.errors import Problem, RecipeError
from divrl.monitors.sinks import read_rows

FORMATS_DRAWN = 8


@dataclass(frozen=True)
class Run:
    """One run: its recipe, and its rows by event."""

    folder: Path
    name: str
    recipe: dict[str, Any]
    steps: list[dict[str, Any]]
    formats: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    finished: bool

    @property
    def domains(self) -> list[str]:
        """The domains, structured ones first."""
        specs = self.recipe["domains"]
        return sorted(specs, key=lambda name: specs[name]["kind"] != "structured")

    def kind(self, domain: str) -> str:
        """Structured or creative."""
        return str(self.recipe["domains"][domain]["kind"])

    def shares(self, domain: str) -> tuple[list[float], dict[str, list[float]]]:
        """Epochs, and the share of each format at each of them; the rarest formats are summed as "others"."""
        prefix = f"format/{domain}/share/"
        names = dict.fromkeys(key.removeprefix(prefix) for row in self.formats for key in row if key.startswith(prefix))
        curves = {name: [float(row.get(prefix + name, 0.0)) for row in self.formats] for name in names}
        ranked = sorted(curves, key=lambda name: -max(curves[name]))
        kept = [name for name in ranked if name != "other"][:FORMATS_DRAWN]
        drawn = {name: curves[name] for name in kept}
        rest = [1.0 - sum(curve[i] for curve in drawn.values()) for i in range(len(self.formats))]
        if any(value > 0.005 for value in rest):
            drawn["others"] = [max(0.0, value) for value in rest]
        return [float(row["epoch"]) for row in self.formats], drawn

    def series(self, domain: str, statistic: str) -> list[float]:
        """A statistic of the format monitor at every measurement; NaN where there is none."""
        values = (row.get(f"format/{domain}/{statistic}") for row in self.formats)
        return [float("nan") if value is None else float(value) for value in values]

    def at_epoch(self, domain: str, statistic: str, epoch: float) -> float | None:
        """A statistic of the format monitor at the end of an epoch."""
        for row in self.formats:
            if row["epoch"] == epoch:
                return float(row[f"format/{domain}/{statistic}"])
        return None

    def evaluated(self, domain: str, statistic: str, which: int) -> float | None:
        """A statistic of the evaluation before (0) or after (-1) training; None where there is none."""
        value = self._evaluation(which).get(f"evaluation/{domain}/{statistic}")
        return None if value is None else float(value)

    def pass_curve(self, domain: str, which: int) -> dict[int, float]:
        """K -> pass@k before (0) or after (-1) training."""
        prefix = f"evaluation/{domain}/pass@"
        row = self._evaluation(which)
        return {int(key.removeprefix(prefix)): float(value) for key, value in row.items() if key.startswith(prefix)}

    def _evaluation(self, which: int) -> dict[str, Any]:
        rows = [row for row in self.evaluations if (row["step"] == 0) == (which == 0)]
        return rows[-1] if rows else {}

    def paid_for(self, domain: str) -> str:
        """What this run pays for in a domain, in a few words."""
        bonus = self.recipe["domains"][domain].get("bonus")
        if not bonus:
            return "no bonus"
        weight = bonus["weight"]
        told = f"{weight['start']:g} to {weight['end']:g}" if isinstance(weight, dict) else f"{weight:g}"
        return f"{bonus['metric']['use']}, {bonus['combine']}, weight {told}"


def load_run(folder: Path) -> Run:
    """Reads a run's folder.

    Raises:
        RecipeError: it is none, or has no rows yet.
    """
    record = folder / "recipe.json"
    if not record.is_file():
        raise RecipeError([Problem(str(folder), "is no run folder", "a folder with recipe.json and metrics.jsonl")])
    rows = read_rows(folder / "metrics.jsonl")
    if not rows:
        raise RecipeError([Problem(str(folder / "metrics.jsonl"), "has no rows yet", "a run that has begun")])
    try:
        recipe = json.loads(record.read_text())["recipe"]
    except (json.JSONDecodeError, KeyError) as error:
        raise RecipeError([Problem(str(record), "cannot be read", "what divrl train wrote")]) from error

    def of(event: str) -> list[dict[str, Any]]:
        return [row for row in rows if row["event"] == event]

    return Run(folder, recipe["name"], recipe, of("step"), of("format"), of("evaluation"), bool(of("end")))
