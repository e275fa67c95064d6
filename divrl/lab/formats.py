"""The three formats in which the lab solves a problem, and how each is read back.

    code         x = 7 ; x += 3 ; x -= 4 ; print ( x )            executed, so no arithmetic to learn
    calculator   << 7 + 3 = 10 >> << 10 - 4 = 6 >> #### 6
    prose        7 plus 3 is 10 . 10 minus 4 is 6 . the answer is 6

A format can carry noise (a share of its documents has one wrong number) and a blind spot (one phrase that
it always misreads), so that the most frequent, the most accurate and the most useful format can differ.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from divrl.lab.problems import Problem, apply

FORMATS = ("code", "calculator", "prose")
WORDS = {"+": "plus", "-": "minus", "*": "times"}
MISREAD = {"+": "-", "-": "+", "*": "+"}
HIGHEST_NUMBER = 99

Steps = list[tuple[str, int]]


def _code(start: int, steps: Steps) -> str:
    return " ".join([f"x = {start} ;", *(f"x {op}= {k} ;" for op, k in steps), "print ( x )"])


def _running(start: int, steps: Steps) -> list[tuple[int, str, int, int]]:
    rows, value = [], start
    for operation, number in steps:
        after = apply(value, operation, number)
        rows.append((value, operation, number, after))
        value = after
    return rows


def _calculator(start: int, steps: Steps) -> str:
    rows = _running(start, steps)
    return " ".join([*(f"<< {a} {op} {k} = {b} >>" for a, op, k, b in rows), f"#### {rows[-1][3]}"])


def _prose(start: int, steps: Steps) -> str:
    rows = _running(start, steps)
    said = (f"{a} {WORDS[op]} {k} is {b} ." for a, op, k, b in rows)
    return " ".join([*said, f"the answer is {rows[-1][3]}"])


_RENDER: dict[str, Callable[[int, Steps], str]] = {"code": _code, "calculator": _calculator, "prose": _prose}


def render(problem: Problem, name: str, *, blind: str | None = None, wrong: random.Random | None = None) -> str:
    """The solution of `problem` in the format `name`.

    Args:
        blind: the phrase this format misreads (adds for subtracts, subtracts for adds, adds for multiplies).
        wrong: when given, one number of the solution is replaced by another one drawn from it.

    Raises:
        KeyError: `name` is no format.
    """
    steps: Steps = [(MISREAD[e.operation] if e.phrase == blind else e.operation, e.number) for e in problem.events]
    if wrong is not None:
        i = wrong.randrange(len(steps))
        operation, number = steps[i]
        steps[i] = (operation, wrong.choice([k for k in range(2, 7) if k != number]))
    return _RENDER[name](problem.start, steps)


def expressible(text: str) -> bool:
    """Whether every number of a solution has a token: none below 0 or above HIGHEST_NUMBER."""
    return all(0 <= int(word) <= HIGHEST_NUMBER for word in text.split() if word.lstrip("-").isdigit())


_CODE = re.compile(r"x = (\d+) ;((?: x [+-]= \d+ ;)*) print \( x \)")
_STEP = re.compile(r"x ([+-])= (\d+) ;")
_CALCULATOR = re.compile(r"(?:<< \d+ [-+*] \d+ = \d+ >> )+#### (\d+)")
_PROSE = re.compile(r"(?:\d+ (?:plus|minus|times) \d+ is \d+ \. )+the answer is (\d+)")


def fingerprint(text: str) -> str:
    """The format a completion is written in: "code", "calculator", "prose", or "other" for anything else.

    It looks at how the text sets out, not at whether it is whole, so a broken attempt still counts for its format.
    """
    words = text.split()
    if words[:2] == ["x", "="]:
        return "code"
    if words[:1] == ["<<"]:
        return "calculator"
    if len(words) > 1 and words[1] in WORDS.values():
        return "prose"
    return "other"


def answer(text: str) -> str | None:
    """The answer a completion gives: code is executed, the other formats state it. None if it is not well formed.

    Code knows only += and -= (its evaluator refuses everything else, and never calls `exec`).
    """
    text = text.strip()
    if match := _CODE.fullmatch(text):
        value = int(match[1])
        for operation, number in _STEP.findall(match[2]):
            value = apply(value, operation, int(number))
        return str(value)
    stated = _CALCULATOR.fullmatch(text) or _PROSE.fullmatch(text)
    return stated[1] if stated else None
