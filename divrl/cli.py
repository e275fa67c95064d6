"""The verbs of the command line. Each imports what it needs when it runs, so that help answers at once."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from divrl.errors import DivrlError, EnvironmentFault, Problem, RecipeError, plain

app = typer.Typer(
    help="Reinforcement learning for language models that gets better without getting narrower.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich",
)  # fmt: skip

RecipeArgument = Annotated[str, typer.Argument(help="a recipe (YAML)")]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="e.g. seed=1 trainer.learning_rate=1e-4")
]


@app.command()
def train(
    recipe: RecipeArgument,
    overrides: Overrides = None,
    resume: Annotated[bool, typer.Option("--resume", help="continue from the last whole checkpoint")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check, show the plan and stop")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier run of this name")] = False,
    local_rank: Annotated[int, typer.Option("--local_rank", "--local-rank", hidden=True)] = 0,
) -> None:
    """Train what a recipe says; the run lands in runs/NAME."""
    from divrl.check import check_recipe

    checked = check_recipe(recipe, overrides, score_gold=os.environ.get("RANK", "0") == "0")
    if dry_run:
        _show_plan(checked)
        return
    if resume and overwrite:
        raise RecipeError([Problem("--overwrite", "contradicts --resume", "one of them")])
    from divrl.train import train as run

    folder = run(checked, resume=resume, overwrite=overwrite)
    if os.environ.get("RANK", "0") == "0":
        Console(stderr=True).print(
            f"[bold]{escape(str(folder))}[/bold] (divrl report {escape(str(folder))})", highlight=False
        )


@app.command()
def check(recipe: RecipeArgument, overrides: Overrides = None) -> None:
    """Find every mistake in a recipe before anything is loaded, and score two real rows of each domain."""
    from divrl.check import check_recipe

    _show_plan(check_recipe(recipe, overrides))


@app.command()
def evaluate(
    model: Annotated[
        str, typer.Argument(help="a model folder (runs/NAME/model), a run folder, or `base` for the recipe's own")
    ],
    recipe: Annotated[str, typer.Option("--recipe", help="whose domains, rewards and sampling to use")],
    overrides: Overrides = None,
    split: Annotated[str, typer.Option(help="train, validation or test")] = "test",
    output: Annotated[Path | None, typer.Option("--json", help="write the numbers there as JSON")] = None,
) -> None:
    """Measure pass@k, format shares and diversity of a model on a recipe's held-out prompts."""
    if split not in ("train", "validation", "test"):
        raise RecipeError([Problem("--split", f"{split!r} does not fit", "train, validation or test")])
    from divrl.check import check_recipe
    from divrl.evaluation.standalone import evaluate_folder

    if (output and not output.parent.is_dir()) or (output and output.is_dir()):
        raise RecipeError([Problem("--json", f"{output} cannot be written", "a file in a folder that is there")])

    checked = check_recipe(recipe, overrides, score_gold=False)
    numbers = evaluate_folder(checked, model, split)  # type: ignore[arg-type]
    if output:
        output.write_text(json.dumps(numbers, indent=2, sort_keys=True))
    _show_evaluation(numbers)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="one or more run folders, compared side by side")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="folder to write to; default: the first run's")
    ] = None,
) -> None:
    """Write one self-contained HTML page and PNGs: formats per epoch, accuracy against diversity, pass@k before and after."""
    from divrl.report.page import write_report

    written, console = write_report(runs, output or runs[0]), Console()
    for section in written.sections:
        if section.rows:
            table = Table(title=f"{section.domain} ({section.kind})", title_justify="left", box=None, pad_edge=False)
            for i, heading in enumerate(section.header):
                table.add_column(escape(heading), justify="right" if i else "left")
            for row in section.rows:
                table.add_row(*map(escape, row))
            console.print(table, "")
    console.print(f"[bold]{escape(str(written.page))}[/bold]", highlight=False)


GROUPS = {
    "rewards": "reward",
    "metrics": "metric",
    "curricula": "curriculum",
    "data": "data",
    "fingerprints": "fingerprint",
    "models": "model",
}


@app.command(name="list")
def list_(what: Annotated[str | None, typer.Argument(help=", ".join([*GROUPS, "recipes"]))] = None) -> None:
    """Show the built-in functions a recipe can name, with their options."""
    from divrl.listing import listed, recipes
    from divrl.resolve import nearest

    if what is not None and what not in (*GROUPS, "recipes"):
        raise RecipeError(
            [
                Problem(
                    what,
                    "nothing of that name to list",
                    f"one of {', '.join([*GROUPS, 'recipes'])}",
                    nearest(what, [*GROUPS, "recipes"]),
                )
            ]
        )
    console = Console()
    for group in GROUPS if what is None else [what]:
        table = Table(
            title=group, title_justify="left", box=None, show_header=False, title_style="bold", pad_edge=False
        )
        rows = recipes() if group == "recipes" else listed(GROUPS[group])
        table.add_column(style="cyan", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in rows:
            table.add_row(escape(name), escape(text))
        console.print(table)
        console.print()


def _show_plan(checked) -> None:  # type: ignore[no-untyped-def]
    from divrl.check import Checked

    assert isinstance(checked, Checked)
    recipe, console = checked.bound.recipe, Console()
    console.print(
        f"[bold]{escape(recipe.name)}[/bold]: {recipe.algorithm} from {escape(recipe.model.use)}, into {escape(str(recipe.folder()))}",
        highlight=False,
    )
    total = sum(map(len, checked.rows.values()))
    steps = checked.batch.steps_per_epoch(total)
    console.print(f"{checked.batch}; {total} prompts = {steps} steps an epoch", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("domain", "kind", "prompts", "reward", "bonus", "gold answer earns"):
        table.add_column(heading)
    for domain in checked.bound.mix:
        spec = recipe.domains[domain.name]
        bonus = spec.bonus
        paid = (
            f"{bonus.metric.use}, {bonus.combine}, weight {_weight(bonus.weight)}, gate {bonus.gate}" if bonus else "-"
        )
        terms = ", ".join(f"{_weight(t.weight)} x {t.name}" for t in domain.terms)
        gold = ", ".join(
            f"{g.term} {g.score:g}" for g in checked.gold if g.domain == domain.name and g.score is not None
        )
        table.add_row(domain.name, spec.kind, str(len(checked.rows[domain.name])), terms, escape(paid), gold or "-")
    console.print(table)
    for name, columns in checked.unused.items():
        console.print(
            f"note: no reward of {name} reads the column{'s' * (len(columns) > 1)} {escape(plain(', '.join(columns)))}",
            style="yellow",
            highlight=False,
        )


def _weight(weight) -> str:  # type: ignore[no-untyped-def]
    return f"{weight:g}" if isinstance(weight, int | float) else f"{weight.start:g}->{weight.end:g}"


def _show_evaluation(numbers: dict[str, float]) -> None:
    domains = list(dict.fromkeys(key.split("/")[1] for key in numbers))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for domain in domains:
        table.add_column(domain, justify="right")
    for name in dict.fromkeys(key.split("/", 2)[2] for key in numbers):
        values = [numbers.get(f"evaluation/{domain}/{name}") for domain in domains]
        if not all(isinstance(v, str) or v is None for v in values):
            table.add_row(
                escape(name),
                *(
                    ""
                    if v is None
                    else f"{v:,}"
                    if isinstance(v, int)
                    else f"{v:.3f}"
                    if isinstance(v, float)
                    else escape(plain(str(v)))
                    for v in values
                ),
            )
    Console().print(table)


def main() -> None:
    """Runs the command line and turns errors into messages and exit codes; see `divrl.errors`."""
    try:
        app(standalone_mode=False)
    except DivrlError as error:
        problems = getattr(error, "problems", None)
        lines = [str(p) for p in problems] if problems else [str(error)]
        head = f"{len(lines)} problems:\n" if len(lines) > 1 else ""
        print(plain(f"divrl: {head}" + "\n".join(f"  {line}" if head else line for line in lines)), file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except typer.Exit as error:
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show"):
            error.show()
            raise SystemExit(2) from None
        if (isinstance(error, OSError) and error.filename is not None) or getattr(error, "errno", None) == 28:
            print(plain(f"divrl: {error}"), file=sys.stderr)
            raise SystemExit(EnvironmentFault.exit_code) from None
        traceback.print_exc()
        print("divrl: this is a bug in divrl; please report it with the lines above", file=sys.stderr)
        raise SystemExit(70) from None
