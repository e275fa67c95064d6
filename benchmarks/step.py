"""Step times of divrl beside stock TRL, on the same model, prompts, rewards and group sizes: `make benchmark`.

Four trainers live in one process and take turns, a block of steps each, so that a machine that drifts does so for all:

- divrl: the quickstart recipe as shipped (grouped sampling, CPU defaults, mix with bonus);
- divrl, generate: the same with TRL's own generation (`rollout: trl`), to see what the sampler brings;
- TRL defaults: GRPOTrainer as a user gets it (gradient checkpointing, bf16), the lab's rewards as plain functions;
- TRL by hand: GRPOTrainer with fp32 and no checkpointing, the same rewards.

Reported: the median over the pairs of the ratio of seconds per step, and of generated tokens per second; the share of a
step that the reward side (terms, bonus, logging) takes; and the reward side alone for larger groups.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from divrl.build import build
from divrl.check import check_recipe
from divrl.data.domains import train_dataset
from divrl.lab.rewards import lab_solved, lab_valid_line
from divrl.loading import load_model, quiet_libraries
from divrl.mix import RewardMix

RESULTS = Path("benchmarks/results")


class Clock(TrainerCallback):
    """Seconds and generated tokens of every step."""

    def __init__(self) -> None:
        """Starts empty."""
        self.steps: list[tuple[float, float]] = []
        self.begun = 0.0
        self.tokens = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Starts the watch; generation happens inside the step."""
        self.begun = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Takes the mean completion length of the step."""
        if logs and "completions/mean_length" in logs:
            size = args.per_device_train_batch_size
            self.steps[-1] = (self.steps[-1][0], logs["completions/mean_length"] * size)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stops the watch."""
        self.steps.append((time.perf_counter() - self.begun, 0.0))


def only(domain: str, reward: Any) -> Any:
    """A reward of one domain as stock TRL takes it: None for the rows of others."""

    def scored(prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
        index = [i for i, name in enumerate(columns["domain"]) if name == domain]
        chosen = {
            k: [v[i] for i in index] for k, v in columns.items() if isinstance(v, list) and len(v) == len(prompts)
        }
        found = iter(reward([prompts[i] for i in index], [completions[i] for i in index], **chosen))
        return [next(found) if name == domain else None for name in columns["domain"]]

    scored.__name__ = domain
    return scored


def trainers(folder: Path, steps: int) -> dict[str, tuple[Any, Clock]]:
    """The four trainers, each with its clock."""
    made: dict[str, tuple[Any, Clock]] = {}
    for name, rollout in (("divrl", "auto"), ("divrl, generate", "trl")):
        checked = check_recipe(
            "recipes/lab/quickstart.yaml",
            [f"rollout={rollout}", "monitors.format=null", f"trainer.max_steps={steps}", "trainer.save_strategy=no"],
        )
        model_path = checked.bound.model()
        trainer, _ = build(checked, {}, model_path, folder / name)
        made[name] = (trainer, Clock())
    dataset, _ = train_dataset(checked.rows)
    batch = {
        key: checked.bound.recipe.trainer[key]
        for key in (
            "per_device_train_batch_size",
            "num_generations",
            "max_completion_length",
            "learning_rate",
            "lr_scheduler_type",
        )
    }
    own = {
        "max_steps": steps,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "use_cpu": True,
        "logging_steps": 1,
    }
    for name, changes in (("TRL defaults", {}), ("TRL by hand", {"bf16": False, "gradient_checkpointing": False})):
        model, tokenizer = load_model(model_path, torch.float32)
        arguments = GRPOConfig(output_dir=str(folder / name), **batch, **own, **changes)
        rewards = [only("maths", lab_solved), only("lines", lab_valid_line)]
        trainer = GRPOTrainer(
            model=model, reward_funcs=rewards, args=arguments, train_dataset=dataset, processing_class=tokenizer
        )
        trainer.remove_callback(PrinterCallback)
        made[name] = (trainer, Clock())
    return made


def interleaved(made: dict[str, tuple[Any, Clock]], turns: int) -> None:
    """Lets every trainer train a block of steps in turn; each goes on with its own weights."""
    for trainer, clock in made.values():
        trainer.add_callback(clock)
    for _ in range(turns):
        for trainer, _ in made.values():
            trainer.train()


def blocks(clock: Clock, block: int) -> list[tuple[float, float]]:
    """(seconds per step, generated tokens per second) of every block but the first, which warms up."""
    found = []
    for low in range(block, len(clock.steps), block):
        part = clock.steps[low : low + block]
        seconds = sum(s for s, _ in part)
        found.append((seconds / len(part), sum(t for _, t in part) / seconds))
    return found


def measurement(prompts: int = 50, samples: int = 64) -> tuple[float, float]:
    """Seconds to sample what an evaluation looks at: with divrl's sampler, and with `generate` on the same prompts."""
    from divrl.generation import encode, sample
    from divrl.lab.domains import lab_problems

    model, tokenizer = load_model(check_recipe("recipes/lab/quickstart.yaml").bound.model())
    texts = [str(row["prompt"]) for row in lab_problems("test", heldout=prompts)]
    batch = tokenizer(
        [text for text in texts for _ in range(samples)], return_tensors="pt", padding=True, return_token_type_ids=False
    )
    ours, theirs = [], []
    for _ in range(5):
        begun = time.perf_counter()
        sample(model, encode(tokenizer, texts), samples, max_new_tokens=28, eos_ids=[tokenizer.eos_token_id])
        ours.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        model.generate(**batch, max_new_tokens=28, do_sample=True, top_k=0)
        theirs.append(time.perf_counter() - begun)
    return statistics.median(ours), statistics.median(theirs)


def reward_side(groups: list[tuple[int, int]]) -> list[dict[str, float]]:
    """Milliseconds of the mix alone, with and without its bonus, for B prompts x G siblings of lab completions."""
    from divrl.lab.domains import lab_problems

    checked = check_recipe("recipes/lab/quickstart.yaml")
    rows = list(lab_problems("train", n=256))
    found = []
    for prompts, size in groups:
        chosen = [rows[i % len(rows)] for i in range(prompts) for _ in range(size)]
        texts = [
            f"x = {i % 9} ; x += {i % 7} ; print ( x )" if i % 3 else str(row["gold"]) for i, row in enumerate(chosen)
        ]
        timed = {}
        for name, domain in (
            ("with bonus", checked.bound.mix[0]),
            ("terms alone", dataclasses.replace(checked.bound.mix[0], bonus=None)),
        ):
            mix = RewardMix([domain], size)
            arguments = {
                "domain": ["maths"] * len(texts),
                "answer": [row["answer"] for row in chosen],
                "log_metric": lambda k, v: None,
            }
            seconds = []
            for _ in range(7):
                begun = time.perf_counter()
                mix([row["prompt"] for row in chosen], texts, **arguments)
                seconds.append(time.perf_counter() - begun)
            timed[name] = statistics.median(seconds) * 1000
        found.append(
            {"prompts": prompts, "siblings": size, "ms": timed["with bonus"], "ms without bonus": timed["terms alone"]}
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--block", type=int, default=3, help="steps per turn")
    arguments = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        made = trainers(Path(folder), arguments.block)
        interleaved(made, arguments.pairs + 1)
    times = {name: blocks(clock, arguments.block) for name, (_, clock) in made.items()}
    lines = [
        "| against | pairs | seconds a step, divrl / other (median, min - max) | tokens a second, divrl / other |",
        "|---|---|---|---|",
    ]
    for name in times:
        if name != "divrl":
            slower = [a[0] / b[0] for a, b in zip(times["divrl"], times[name], strict=True)]
            faster = [a[1] / b[1] for a, b in zip(times["divrl"], times[name], strict=True)]
            lines.append(
                f"| {name} | {len(slower)} | {statistics.median(slower):.2f} ({min(slower):.2f} - {max(slower):.2f}) | {statistics.median(faster):.2f} |"
            )
    medians = {name: statistics.median(s for s, _ in rows) for name, rows in times.items()}
    lines += [
        "",
        "Median seconds a step: " + ", ".join(f"{name} {seconds:.3f}" for name, seconds in medians.items()) + ".",
    ]
    side = reward_side([(8, 32), (64, 16), (128, 64)])
    share = side[0]["ms"] / 1000 / medians["divrl"]
    lines += [
        "",
        f"Reward side of a quickstart step (8 x 32): {side[0]['ms']:.1f} ms, {share:.1%} of the step; without the bonus {side[0]['ms without bonus']:.1f} ms.",
    ]
    lines += [
        f"{int(row['prompts'] * row['siblings'])} completions ({row['prompts']} x {row['siblings']}): {row['ms']:.0f} ms, without the bonus {row['ms without bonus']:.0f} ms."
        for row in side[1:]
    ]
    ours, theirs = measurement()
    lines += [
        "",
        f"Sampling 50 x 64 held-out completions: {ours:.2f} s, with generate {theirs:.2f} s ({theirs / ours:.1f} times).",
    ]
    text = "\n".join(lines) + "\n"
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "step.md").write_text(text)
    (RESULTS / "step.json").write_text(json.dumps({"blocks": times, "reward_side": side}, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
