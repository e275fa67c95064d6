"""Where a domain's rows come from: files, Hugging Face datasets, reasoning-gym's generators.

Each source is a plain function of a split name and options that yields dicts with a "prompt" and further columns. A source
of your own has the same signature.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from divrl.data.rows import LONGEST_PROMPT, Unreadable, checked_rows, split_by_prompt
from divrl.errors import DataError, EnvironmentFault, Problem
from divrl.types import Row, Split

__all__ = ["files", "hub", "reasoning_gym"]

SEED_STRIDE = 1_000_003


def files(
    split: Split,
    folder: Path,
    path: str | dict[str, str],
    columns: dict[str, str] | None = None,
    heldout: float = 0.2,
    on_bad_row: Literal["error", "drop"] = "error",
) -> Iterator[Row]:
    """Rows of JSONL, CSV or Parquet files.

    Args:
        path: one file, split by a hash of the prompt; or a file per split, {train: ..., validation: ..., test: ...}.
            Relative to the recipe.
        columns: {name wanted: name in the file}, e.g. {prompt: question}.
        heldout: with one file, the share of the prompts kept from training, half of it per held-out split.
        on_bad_row: what to do with rows that cannot be used.

    Raises:
        DataError: a file that cannot be read, or bad rows, each with file and line.
    """
    if isinstance(path, dict):
        if split not in path:
            raise DataError([Problem("path", f"no file for the split {split!r}", f"one of {', '.join(path)}")])
        return iter(_file_rows(folder / path[split], columns, on_bad_row))
    rows = _file_rows(folder / path, columns, on_bad_row)
    return (row for row in rows if split_by_prompt(row["prompt"], heldout) == split)


def hub(
    split: Split,
    folder: Path,
    name: str,
    subset: str | None = None,
    splits: dict[str, str] | None = None,
    columns: dict[str, str] | None = None,
    heldout: float = 0.2,
    revision: str | None = None,
    on_bad_row: Literal["error", "drop"] = "error",
) -> Iterator[Row]:
    """Rows of a Hugging Face dataset: a hub id, or a folder written by `save_to_disk`.

    Args:
        name: hub id, or a folder relative to the recipe.
        subset: the dataset's configuration.
        splits: {train: its name there, ...}; without it "train" is split by a hash of the prompt.
        columns: {name wanted: name there}.
        heldout: as in `files`.
        revision: of the hub's repository.
        on_bad_row: as in `files`.

    Raises:
        DataError: no such dataset or split, or bad rows, each with its number.
    """
    import datasets

    wanted = (splits or {}).get(split, "train")
    try:
        local = folder / name
        if local.is_dir():
            loaded = datasets.load_from_disk(str(local))
            data = loaded[wanted] if isinstance(loaded, datasets.DatasetDict) else loaded
        else:
            data = datasets.load_dataset(name, subset, split=wanted, revision=revision)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            [Problem(name, f"cannot load the split {wanted!r} ({reason})", "a hub id or a folder")]
        ) from error
    numbered = ((f"{name}[{wanted}] row {i}", row) for i, row in enumerate(data))
    rows = checked_rows(numbered, columns, on_bad_row)
    return (row for row in rows if splits or split_by_prompt(row["prompt"], heldout) == split)


def reasoning_gym(
    split: Split,
    task: str,
    n: int = 200,
    seed: int = 0,
    heldout: int = 50,
    instruction: str = "\nAnswer:",
    config: dict[str, Any] | None = None,
) -> Iterator[Row]:
    """Generated problems of one reasoning-gym task, with columns `gym_task`, `gym_entry` and `gold` for `gym_score`.

    Args:
        task: the task's name, e.g. "chain_sum".
        n: problems in the training split.
        seed: of the generator; the three splits use different ones, and a held-out prompt that training has is left out.
        heldout: problems in each of the other splits.
        instruction: appended to every question.
        config: the task's own options.

    Raises:
        EnvironmentFault: the package is not installed.
        DataError: no such task, or an option it does not take.
    """
    try:
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError as error:
        raise EnvironmentFault("reasoning-gym is not installed: pip install 'divrl[gym]'") from error
    if task not in DATASETS:
        from divrl.resolve import nearest

        raise DataError(
            [Problem("task", f"reasoning-gym has no task {task!r}", "one of its tasks", nearest(task, DATASETS))]
        )

    def drawn(part: Split) -> Iterable[dict[str, Any]]:
        offset = ("train", "validation", "test").index(part)
        size = n if part == "train" else heldout
        try:
            # item i of a dataset is drawn from seed + i, so the splits' seeds must lie further apart than their sizes
            return create_dataset(task, size=size, seed=(3 * seed + offset) * SEED_STRIDE, **(config or {}))  # type: ignore[no-any-return]
        except (TypeError, AssertionError) as error:
            raise DataError([Problem(f"{task}.config", str(error), "the task's own options")]) from error

    seen = {entry["question"] for entry in drawn("train")} if split != "train" else set()
    for entry in drawn(split):
        if entry["question"] not in seen:
            yield {
                "prompt": entry["question"] + instruction,
                "gym_task": task,
                "gym_entry": json.dumps(entry, default=str),
                "gold": str(entry["answer"]),
            }


def _file_rows(path: Path, columns: dict[str, str] | None, on_bad_row: Literal["error", "drop"]) -> list[Row]:
    readers = {".jsonl": _jsonl, ".json": _jsonl, ".csv": _csv, ".parquet": _parquet}
    if not path.is_file():
        raise DataError([Problem(str(path), "no such file")])
    if path.suffix not in readers:
        raise DataError([Problem(str(path), f"cannot read {path.suffix!r}", f"one of {', '.join(readers)}")])
    return checked_rows(readers[path.suffix](path), columns, on_bad_row)


def _jsonl(path: Path) -> Iterator[tuple[str, object]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip():
                continue
            where = f"{path.name}:{number}"
            try:
                yield where, json.loads(text.decode("utf-8"))
            except UnicodeDecodeError:
                yield where, Unreadable("not valid UTF-8")
            except (ValueError, RecursionError) as error:
                yield where, Unreadable(f"not valid JSON ({error})")


def _csv(path: Path) -> Iterator[tuple[str, object]]:
    csv.field_size_limit(LONGEST_PROMPT)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                whole = None not in row and None not in row.values()
                where = f"{path.name}:{reader.line_num}"
                yield where, row if whole else Unreadable("another number of fields than the header")
        except csv.Error as error:
            yield f"{path.name}:{reader.line_num}", Unreadable(f"not valid CSV ({error})")


def _parquet(path: Path) -> Iterator[tuple[str, object]]:
    from pyarrow.parquet import read_table

    try:
        rows = read_table(path).to_pylist()
    except Exception as error:  # pyarrow raises many kinds for many kinds of damage
        raise DataError([Problem(str(path), f"not a Parquet file ({error!s:.200})")]) from error
    for i, row in enumerate(rows):
        yield f"{path.name} row {i}", row
