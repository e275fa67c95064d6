"""The terminal: a live screen on a TTY, one readable line per event elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from divrl.errors import plain
from divrl.mix import OWN_STATISTICS

COLOURS = ("cyan", "magenta", "yellow", "green", "blue", "red")
BAR_WIDTH = 36
FORMATS_SHOWN = 6


def shares_of(row: Mapping[str, Any], domain: str) -> dict[str, float]:
    """The shares of the formats in a measured row, the largest first."""
    prefix = f"format/{domain}/share/"
    found = {key.removeprefix(prefix): float(value) for key, value in row.items() if key.startswith(prefix)}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


class TerminalSink:
    """Shows a run.

    Args:
        console: where to write.
        name: of the run.
        steps: optimiser steps in all.
        domains: in the recipe's order, each with its kind.
    """

    def __init__(self, console: Console, name: str, steps: int, domains: Mapping[str, str]):
        self.console, self.name, self.steps, self.domains = console, name, steps, dict(domains)
        self.last: dict[str, Any] = {}
        self.formats: dict[str, Any] = {}
        self.colours: dict[str, dict[str, str]] = {}
        self.live: Live | None = None
        if console.is_terminal:
            columns = (TextColumn("[bold]{task.description}"), BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())  # fmt: skip
            self.progress = Progress(*columns, console=console)
            self.task = self.progress.add_task(name, total=steps)
            self.live = Live(self._screen(), console=console, refresh_per_second=4)
            self.live.start()

    def write(self, row: Mapping[str, Any]) -> None:
        """Takes one row."""
        if row["event"] == "format":
            self.formats = dict(row)
        elif row["event"] == "step":
            self.last = dict(row)
        if self.live:
            self.progress.update(self.task, completed=row["step"])
            self.live.update(self._screen())
        elif row["event"] == "format":
            for domain in self.domains:
                self.console.print(Text(f"  {self._format_words(domain)}"), soft_wrap=True)
        elif row["event"] == "step" and self._due(row["step"]):
            self.console.print(Text(self._step_words()), soft_wrap=True)

    def close(self) -> None:
        """Leaves the last screen standing."""
        if self.live:
            self.live.update(self._screen())
            self.live.stop()
            self.live = None

    def _due(self, step: int) -> bool:
        return step == 1 or step == self.steps or step % max(1, self.steps // 8) == 0

    def _step_words(self) -> str:
        row = self.last
        parts = [f"step {row['step']}/{self.steps}", f"reward {_number(row.get('reward'))}"]
        for domain in self.domains:
            terms = [key for key in row if key.startswith(f"mix/{domain}/")]
            main = next((key for key in terms if key.rsplit("/", 1)[1] not in OWN_STATISTICS), None)
            if main:
                parts.append(f"{domain} {main.rsplit('/', 1)[1]} {_number(row[main])}")
        parts.append(f"dead groups {_number(row.get('frac_reward_zero_std'))}")
        if failed := sum(v for k, v in row.items() if k.endswith("/failed") and isinstance(v, float)):
            parts.append(f"failed {failed:.1%}")
        if seconds := row.get("step_time"):
            spent = ", ".join(
                f"{part} {row.get(f'seconds/{part}', 0) / seconds:.0%}" for part in ("rollout", "rewards")
            )
            parts.append(f"{seconds:.2f} s a step ({spent})")
        return " | ".join(parts)

    def _format_words(self, domain: str) -> str:
        row, prefix = self.formats, f"format/{domain}"
        shares = list(shares_of(row, domain).items())[:4]
        told = ", ".join(f"{plain(name)} {share:.0%}" for name, share in shares)
        return (
            f"epoch {row['epoch']:.2f} {domain}: {told} | entropy a prompt {_number(row.get(f'{prefix}/entropy_per_prompt_normalised'))}"
            f" | right {_number(row.get(f'{prefix}/valid'))}"
        )

    def _bar(self, domain: str) -> Text:
        """The shares of the formats as one coloured bar; a format keeps its colour for the whole run."""
        shares, bar = shares_of(self.formats, domain), Text()
        colours = self.colours.setdefault(domain, {})
        for name in list(shares)[:FORMATS_SHOWN]:
            colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
        shown = {name: share for name, share in shares.items() if name in colours}
        for name in (n for n in colours if n in shown):
            bar.append("█" * round(shown[name] * BAR_WIDTH), style=colours[name])
        bar.append("░" * max(0, BAR_WIDTH - len(bar.plain)), style="dim")
        for name, share in list(shown.items())[:3]:
            bar.append(f"  {plain(name)} {share:.0%}", style=colours[name])
        return bar

    def _screen(self) -> Group:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("domain", "reward", "right", "entropy a prompt", "shares of the formats (held out)"):
            table.add_column(heading, no_wrap=True)
        for domain, kind in self.domains.items():
            prefix = f"format/{domain}"
            table.add_row(
                f"{domain} [dim]({kind})[/dim]",
                _number(self.last.get(f"mix/{domain}/reward")),
                _number(self.formats.get(f"{prefix}/valid")),
                _number(self.formats.get(f"{prefix}/entropy_per_prompt_normalised")),
                self._bar(domain) if self.formats else "",
            )
        lines: list[Any] = [self.progress, table]
        if self.last:
            lines.append(Text(self._step_words(), style="dim"))
        return Group(*lines)


def _number(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else "-"
