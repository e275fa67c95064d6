"""Layout of a completion, meant as a gate: an additive format reward pushes long wrong answers."""

from __future__ import annotations

from reward_models.completion import Completions, texts

__all__ = ["tags"]


def tags(
    prompts: list[object],
    completions: Completions,
    *,
    names: list[str] = ["think", "answer"],  # noqa: B006  (never changed; a list because recipes write lists)
    **kwargs: object,
) -> list[float | None]:
    """1 if the completion is exactly one `<name>...</name>` block per name, in order, with nothing but space between.

    Args:
        names: the tags, in the order asked for.

    Returns:
        1.0 or 0.0 per completion. A tag that stands twice, is left open, nested, empty, or has text outside
        scores 0. Runs in time linear in the text.
    """
    return [float(_laid_out(text, names)) for text in texts(completions)]


def _laid_out(text: str, names: list[str]) -> bool:
    rest = text.strip()
    for name in names:
        opening, closing = f"<{name}>", f"</{name}>"
        if not rest.startswith(opening):
            return False
        body, found, rest = rest[len(opening) :].partition(closing)
        if not found or not body.strip() or any(f"<{n}>" in body or f"</{n}>" in body for n in names):
            return False
        rest = rest.lstrip()
    return not rest
