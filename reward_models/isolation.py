"""Work that may hang or crash, in processes that can be killed.

A thread cannot be stopped, and `re` and big-integer arithmetic hold the interpreter's lock, so a deadline needs a
process. The pool is started at first use, shared by all callers, and rebuilt by pebble after a kill.
"""

from __future__ import annotations

import atexit
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from functools import cache
from typing import TypeVar

from pebble import ProcessExpired, ProcessPool

Result = TypeVar("Result")
WORKERS = 2
TASKS_PER_WORKER = 20_000


@cache
def _pool() -> ProcessPool:
    # spawn: forking a process in which torch runs threads can deadlock the child
    context = multiprocessing.get_context("spawn")
    pool = ProcessPool(WORKERS, max_tasks=TASKS_PER_WORKER, initializer=_import_parsers, context=context)
    atexit.register(_stop, pool)
    return pool


def _import_parsers() -> None:
    """Pays the seconds of sympy's import before the first deadline runs."""
    import logging

    import math_verify

    logging.getLogger("math_verify").setLevel(
        logging.ERROR
    )  # it warns at every call that we keep the deadline ourselves
    math_verify.parse("1/2", parsing_timeout=None)


def _stop(pool: ProcessPool) -> None:
    pool.stop()
    pool.join()


def run_isolated(
    function: Callable[..., Result], calls: Sequence[tuple[object, ...]], timeout_s: float
) -> list[Result | None]:
    """Runs `function(*arguments)` for every call in a killable process.

    Args:
        function: a module-level function.
        calls: the arguments of each call (picklable).
        timeout_s: seconds that one call may take once it runs; the whole takes at most
            ceil(len(calls) / WORKERS) times that.

    Returns:
        One result per call; None where the call ran out of time, raised, or took its process down.
    """
    if not calls:
        return []
    futures = [_pool().schedule(function, args=list(arguments), timeout=timeout_s) for arguments in calls]
    results: list[Result | None] = []
    for future in futures:
        try:
            results.append(future.result())
        except (FutureTimeout, ProcessExpired, Exception):
            results.append(None)
    return results
