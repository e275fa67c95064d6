"""Mathematical answers, compared as mathematics."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

from reward_models.completion import Completions, texts

__all__ = ["exact_answer"]

MAX_CHARACTERS = 2_000
MAX_DIGITS = 400
MAX_NESTING = 64
SHORT = 80  # a short line without any number is taken as a whole, so that words can be answers

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:/\d[\d,]*)?")
_PLAIN = re.compile(r"[-+]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?(?:/[1-9]\d*)?")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{2}")
_HASHES = re.compile(r"####[ \t]*([^\n]+)")
_STATED = re.compile(r"(?:answer|result)(?: is|:|=)[ \t]*([^\n]+)", re.IGNORECASE)


def exact_answer(
    prompts: list[object],
    completions: Completions,
    answer: list[str | int | float],
    *,
    timeout_s: float = 2.0,
    **kwargs: object,
) -> list[float | None]:
    r"""1 if the final answer of a completion equals the gold answer as mathematics, else 0.

    The final answer is the last `\boxed{...}`, else what follows the last `####`, else what follows the last
    "answer is" or "answer:", else the whole text if it is one bare expression, else the last number. Identical strings and plain numbers (integers, decimals, fractions, thousands separators)
    are compared here; everything else goes to math-verify in a process that is killed at the deadline.

    Args:
        answer: column; the gold answer, as text or number, with or without `\boxed{}` or `####`.
        timeout_s: seconds one comparison may take.

    Returns:
        1.0 or 0.0 per completion. No answer in the text, or one beyond 2,000 characters, 400 digits in a row or 64 nested
        brackets, scores 0; None where the comparison ran out of time or crashed, so that it can be masked.
    """
    from reward_models.isolation import run_isolated

    pairs = [(final_answer(str(gold)), final_answer(t)) for gold, t in zip(answer, texts(completions), strict=True)]
    quick = [_quick(gold, given) for gold, given in pairs]
    open_pairs = sorted({pair for pair, score in zip(pairs, quick, strict=True) if score is None})
    verified = dict(zip(open_pairs, run_isolated(_verify, open_pairs, timeout_s), strict=True))
    return [verified[pair] if score is None else score for pair, score in zip(pairs, quick, strict=True)]


@lru_cache(maxsize=65_536)
def final_answer(text: str) -> str:
    """The final answer in a text, by the rule of `exact_answer`; "" if there is none or it breaks a limit."""
    found = _boxed(text)
    if found is None:
        marked = _HASHES.findall(text) or _STATED.findall(text)
        if marked:
            found = _leading_number(marked[-1].replace("*", ""))
        elif _is_expression(text):
            found = text
        else:
            numbers = _NUMBER.findall(text[-MAX_CHARACTERS:])
            found = numbers[-1] if numbers else text if len(text) <= SHORT and "\n" not in text.strip() else ""
    found = found.strip().strip("$").rstrip(".").strip()
    return found if _within_limits(found) else ""


def _is_expression(text: str) -> bool:
    """Whether a text is one bare expression: a single short line without words."""
    return len(text) <= MAX_CHARACTERS and "\n" not in text.strip() and not _WORD.search(_COMMAND.sub("", text))


def _leading_number(stated: str) -> str:
    """What was stated, or its first number where words follow ("5 because ...")."""
    numbers = _NUMBER.findall(stated)
    return stated if _is_expression(stated) or not numbers else numbers[0]


def _boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` with balanced braces, or None."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed")
    for i in range(begin, min(len(text), begin + MAX_CHARACTERS + 2)):
        depth += (text[i] == "{") - (text[i] == "}")
        if depth == 0:
            return text[begin + 1 : i]
    return ""


def _within_limits(text: str) -> bool:
    if len(text) > MAX_CHARACTERS or re.search(rf"\d{{{MAX_DIGITS + 1}}}", text):
        return False
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest <= MAX_NESTING


def _quick(gold: str, given: str) -> float | None:
    """The score where it needs no parser, else None."""
    if not given or not gold:
        return 0.0
    if given == gold:
        return 1.0
    if _PLAIN.fullmatch(gold) and _PLAIN.fullmatch(given):
        return float(_value(gold) == _value(given))
    return None


def _value(text: str) -> Fraction:
    above, _, below = text.replace(",", "").partition("/")
    return Fraction(above) / Fraction(below or 1)


def _verify(gold: str, given: str) -> float:
    """Runs in the pool: math-verify without its signal timeouts, since the process itself can be killed."""
    from math_verify import parse, verify

    def parsed(text: str) -> list[object]:
        return list(parse(f"${text}$", parsing_timeout=None) or parse(text, parsing_timeout=None))

    return float(verify(parsed(gold), parsed(given), timeout_seconds=None))
