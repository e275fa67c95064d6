"""The lab's comparison over fresh seeds, with controls: `make demo-seeds`.

Every (arm, seed) is an ordinary run of a shipped recipe in runs/seeds; a run that is there already is not made again, so
the study can be stopped and continued. Runs of one seed share their base model, training prompts and test prompts.
The arms' settings were chosen on seeds 0-3 and the validation split; the seeds here were not looked at before, and the
figures come from the test split. What was expected stands in EXPECTED, before the numbers.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from divrl.monitors.sinks import read_rows

RUNS = Path("runs/seeds")
RESULTS = Path("benchmarks/results")
LEAN = ["monitors.format.every_steps=null", "wandb.mode=disabled", "trainer.save_strategy=no"]


@dataclass(frozen=True)
class Arm:
    """One way of training: a recipe, and the world it trains in."""

    name: str
    recipe: str
    world: str = "default"
    changes: tuple[str, ...] = ()

    def overrides(self) -> list[str]:
        """Overrides that turn the recipe into this arm."""
        if self.world == "default":
            return list(self.changes)
        return [*self.changes, f"model.preset={self.world}", f"domains.maths.data.preset={self.world}"]


ARMS = [
    Arm("plain", "recipes/lab/plain.yaml"),
    Arm("divrl", "recipes/lab/quickstart.yaml"),
    Arm("KL 0.1", "recipes/lab/control_kl.yaml"),
    Arm("KL 0.4", "recipes/lab/control_kl.yaml", changes=("trainer.beta=0.4",)),
    Arm("token entropy 0.1", "recipes/lab/control_entropy.yaml"),
    Arm("rate / 3", "recipes/lab/control_low_rate.yaml"),
    Arm("plain, collapse world", "recipes/lab/plain.yaml", "collapse"),
    Arm("divrl, collapse world", "recipes/lab/quickstart.yaml", "collapse"),
]
METRICS = {
    "pass@1": "evaluation/maths/pass@1",
    "pass@4": "evaluation/maths/pass@4",
    "pass@16": "evaluation/maths/pass@16",
    "pass@64": "evaluation/maths/pass@64",
    "H per prompt": "evaluation/maths/entropy_per_prompt_normalised",
    "H marginal": "evaluation/maths/entropy_normalised",
    "lines valid": "evaluation/lines/valid",
    "lines distinct": "evaluation/lines/distinct_valid",
    "line templates": "evaluation/lines/template_entropy",
}
# what the study was set up to find: (arm, metric, against, relation, bound, how it is judged)
EXPECTED = [
    ("plain", "H per prompt", "base", "ratio below", 0.5, "mean"),
    ("plain, collapse world", "H per prompt", "base", "ratio below", 0.1, "mean"),
    ("plain", "pass@16", "base", "difference below", 0.0, "interval"),
    ("divrl", "H per prompt", "base", "ratio at least", 0.8, "every seed"),
    ("divrl", "pass@16", "base", "difference at least", -0.02, "mean"),
    ("divrl", "pass@64", "base", "difference at least", -0.02, "mean"),
    ("divrl", "pass@1", "plain", "interval holds", 0.0, "interval"),
]


def name_of(arm: Arm, seed: int) -> str:
    return f"{re.sub(r'[^A-Za-z0-9.]+', '-', arm.name)}-{seed}"


def train(arm: Arm, seed: int) -> None:
    """Makes one run, unless it is there."""
    folder = RUNS / name_of(arm, seed)
    rows = read_rows(folder / "metrics.jsonl")
    if rows and rows[-1]["event"] == "end":
        return
    before = "true" if arm.name.startswith("plain") else "false"
    command = [sys.executable, "-m", "divrl", "train", arm.recipe, f"name={name_of(arm, seed)}", f"seed={seed}"]
    command += [f"output={RUNS}", f"evaluation.before={before}", *LEAN, *arm.overrides(), "--resume"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    print(f"{arm.name}, seed {seed}", flush=True)


def measured(seeds: list[int], arms: list[Arm] = ARMS) -> dict[str, dict[str, np.ndarray]]:
    """{arm: {metric: one value a seed}}, the base models among the arms."""
    table: dict[str, dict[str, np.ndarray]] = {}
    for arm in arms:
        rows = [
            [r for r in read_rows(RUNS / name_of(arm, s) / "metrics.jsonl") if r["event"] == "evaluation"]
            for s in seeds
        ]
        table[arm.name] = {m: np.array([run[-1][key] for run in rows]) for m, key in METRICS.items()}
        if arm.name.startswith("plain"):
            table[base_of(arm.name)] = {m: np.array([run[0][key] for run in rows]) for m, key in METRICS.items()}
    return table


def base_of(arm: str) -> str:
    return "base, collapse world" if "collapse" in arm else "base"


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean and its 95 % t-interval."""
    mean, n = float(values.mean()), len(values)
    half = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    return mean, mean - half, mean + half


def judge(table: dict[str, dict[str, np.ndarray]]) -> list[dict[str, object]]:
    """Holds what was expected against what was measured."""
    verdicts: list[dict[str, object]] = []
    for arm, metric, against, relation, bound, how in EXPECTED:
        other = base_of(arm) if against == "base" else against
        if arm not in table or other not in table:
            continue
        ours, theirs = table[arm][metric], table[other][metric]
        values = ours / theirs if "ratio" in relation else ours - theirs
        mean, low, high = interval(values)
        if relation == "interval holds":
            held = low <= bound <= high
        elif "below" in relation:
            held = bool(high < bound) if how == "interval" else mean < bound
        else:
            held = bool(values.min() >= bound) if how == "every seed" else mean >= bound
        told = f"{arm}: {metric} against {other}, {relation} {bound:g} ({how})"
        verdicts.append(
            {"expected": told, "mean": mean, "low": low, "high": high, "seeds": values.tolist(), "held": held}
        )
    return verdicts


def markdown(table: dict[str, dict[str, np.ndarray]], verdicts: list[dict[str, object]], seeds: list[int]) -> str:
    """The table of the README: mean and 95 % t-interval's half width over the seeds."""
    lines = ["| | " + " | ".join(METRICS) + " |", "|---" * (len(METRICS) + 1) + "|"]
    order = ["base", *[a.name for a in ARMS if "collapse" not in a.name], "base, collapse world"]
    order += [a.name for a in ARMS if "collapse" in a.name]
    for arm in [name for name in order if name in table]:
        cells = []
        for metric in METRICS:
            mean, low, _ = interval(table[arm][metric])
            cells.append(f"{mean:.3f} ± {mean - low:.3f}")
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    lines += ["", f"Paired differences to plain, mean [95 % t-interval], {len(seeds)} seeds:", ""]
    shown = ["pass@1", "pass@16", "pass@64", "H per prompt", "lines valid", "lines distinct"]
    lines += ["| | " + " | ".join(shown) + " |", "|---" * (len(shown) + 1) + "|"]
    for name in [a.name for a in ARMS if "plain" not in a.name and a.name in table]:
        plain = "plain, collapse world" if "collapse" in name else "plain"
        cells = ["{:+.3f} [{:+.3f}, {:+.3f}]".format(*interval(table[name][m] - table[plain][m])) for m in shown]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Expected beforehand, and found:", ""]
    for verdict in verdicts:
        lines.append(
            "- {}: **{}** ({:.3f} [{:.3f}, {:.3f}])".format(
                verdict["expected"],
                "held" if verdict["held"] else "did not hold",
                *(verdict[k] for k in ("mean", "low", "high")),
            )
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14, 15])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--arms", nargs="+", choices=[a.name for a in ARMS], default=[a.name for a in ARMS])
    parser.add_argument("--name", default="seeds", help="of the result files")
    arguments = parser.parse_args()
    arms = [arm for arm in ARMS if arm.name in arguments.arms]
    # one seed's base model is built by its first run; the others wait for it
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda seed: [train(arm, seed) for arm in arms], arguments.seeds))
    table = measured(arguments.seeds, arms)
    verdicts = judge(table)
    RESULTS.mkdir(exist_ok=True)
    numbers = {arm: {m: v.tolist() for m, v in row.items()} for arm, row in table.items()}
    content = {"seeds": arguments.seeds, "measured": numbers, "verdicts": verdicts}
    (RESULTS / f"{arguments.name}.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    text = markdown(table, verdicts, arguments.seeds)
    (RESULTS / f"{arguments.name}.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
