"""Where measured rows go: `metrics.jsonl` is the record, W&B and the terminal are windows on it.

A sink must open; after that nothing that goes wrong in a window ends a run: it is reported once and the sink is closed.
"""

from __future__ import annotations

import json
import math
import netrc
import os
import secrets
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from divrl.errors import EnvironmentFault

Row = Mapping[str, Any]


class Sink(Protocol):
    """Takes rows: `step`, `epoch` and `event` (step, format, evaluation, end), and any number of values."""

    def write(self, row: Row) -> None:
        """Takes one row."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


class JsonlSink:
    """One JSON object a line, on disk before `write` returns. NaN and infinity are written as null."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a", encoding="utf-8")

    def write(self, row: Row) -> None:
        """Appends one line."""
        self._file.write(json.dumps({key: finite(value) for key, value in row.items()}, default=str) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class WandbSink:
    """W&B: numbers by key, against the step. Offline when there is no key; the run id is kept in the run's folder."""

    def __init__(
        self, folder: Path, name: str, project: str, mode: Literal["online", "offline"], config: dict[str, Any]
    ):
        os.environ.setdefault("WANDB_SILENT", "true")  # its own lines would tear the live screen
        import wandb

        if wandb.run is None:
            # a service inherited from a parent process may still hold the run that a kill cut off
            os.environ.pop("WANDB_SERVICE", None)
        kept = folder / "wandb_id"
        run_id = kept.read_text().strip() if kept.exists() else secrets.token_hex(4)
        kept.write_text(run_id)
        settings = wandb.Settings(init_timeout=5, silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
        try:
            self._run = wandb.init(
                project=project, name=name, id=run_id, resume="allow", dir=str(folder), mode=mode, config=config,
                settings=settings, save_code=False,
            )  # fmt: skip
        except Exception as error:
            raise EnvironmentFault(f"W&B could not start ({error}); set wandb.mode=offline") from error
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def write(self, row: Row) -> None:
        """Logs the numbers of one row."""
        self._run.log({key: value for key, value in row.items() if isinstance(value, int | float) and key != "time"})

    def close(self) -> None:
        """Finishes the run."""
        self._run.finish()


class Sinks:
    """Writes to all sinks; one that fails is reported once and left out from then on."""

    def __init__(self, sinks: Sequence[Sink]):
        self._open = list(sinks)

    def write(self, row: Row) -> None:
        """Gives one row to every sink.

        Raises:
            OSError: the record itself cannot be written; a window on it may fail, the record may not.
        """
        for sink in list(self._open):
            try:
                sink.write(row)
            except Exception as error:
                if isinstance(sink, JsonlSink):
                    raise
                self._open.remove(sink)
                warnings.warn(f"{type(sink).__name__} failed and is closed: {error}", stacklevel=2)

    def close(self) -> None:
        """Closes every sink."""
        for sink in self._open:
            try:
                sink.close()
            except Exception as error:
                warnings.warn(f"{type(sink).__name__} failed while closing: {error}", stacklevel=2)
        self._open = []


def finite(value: Any) -> Any:
    """None in place of NaN and infinity, which JSON does not know."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a `metrics.jsonl`; a last line that a kill cut short is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def rows_until(rows: Sequence[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    """The rows that a run resumed at `step` keeps; the others it will write again."""
    return [row for row in rows if row["step"] <= step and row["event"] != "end"]


def rewrite(path: Path, rows: Sequence[Row]) -> None:
    """Replaces a `metrics.jsonl` in one move, so that a kill leaves the old one or the new one."""
    aside = path.with_suffix(".partial")
    aside.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    aside.replace(path)


def wandb_mode(asked: Literal["auto", "online", "offline", "disabled"]) -> Literal["online", "offline", "disabled"]:
    """`auto`: what WANDB_MODE says, else online if a key is found in the environment or in ~/.netrc, else offline."""
    if asked != "auto":
        return asked
    if (said := os.environ.get("WANDB_MODE")) in ("online", "offline", "disabled"):
        return said  # type: ignore[return-value]
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    try:
        return "online" if netrc.netrc().authenticators("api.wandb.ai") else "offline"
    except (OSError, netrc.NetrcParseError):
        return "offline"
