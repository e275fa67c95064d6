"""Built-in fingerprints: text -> the name of its format."""

from __future__ import annotations

import re

from divrl.lab.creative import fingerprint as lab_line
from divrl.lab.formats import fingerprint as lab_solution

__all__ = ["lab_line", "lab_solution", "outline", "solution_style"]

_CODE = re.compile(r"```|^\s*(?:def|import|from|class|print)\b", re.MULTILINE)
_LATEX = re.compile(r"\\(?:boxed|frac|begin|\(|\[)")
_ARITHMETIC = re.compile(r"\d\s*[-+*/x]\s*\d[^=\n]*=")
_LIST = re.compile(r"^\s*(?:[-*]|\d+[.)])\s", re.MULTILINE)


def solution_style(text: str) -> str:
    """How a solution is set out: "code", "latex", "arithmetic" (written equations), "list", "prose", or "empty".

    The first that applies, in this order.
    """
    if not text.strip():
        return "empty"
    for name, pattern in (("code", _CODE), ("latex", _LATEX), ("arithmetic", _ARITHMETIC), ("list", _LIST)):
        if pattern.search(text):
            return name
    return "prose"


def outline(text: str) -> str:
    """The shape of a text on the page: lines and length, in powers of two, and whether it is a list.

    A domain without a fingerprint of its own gets this one; e.g. "4 lines, 32 words" or "list, 8 lines, 64 words".
    """
    rows = [row for row in text.splitlines() if row.strip()]
    if not rows:
        return "empty"
    listed = "list, " if len(_LIST.findall(text)) * 2 > len(rows) else ""
    lines, words = (1 << (count - 1).bit_length() for count in (len(rows), max(1, len(text.split()))))
    return f"{listed}{lines} line{'s' * (lines > 1)}, {words} word{'s' * (words > 1)}"
