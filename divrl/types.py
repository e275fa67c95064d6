"""The nouns of divrl. Everything a user writes is one of these plain functions; the protocols are for their annotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

Message: TypeAlias = dict[str, str]
Prompt: TypeAlias = str | list[Message]
Completion: TypeAlias = str | list[Message]
Row: TypeAlias = dict[str, object]
Kind = Literal["structured", "creative"]
Split = Literal["train", "validation", "test"]


class RewardFn(Protocol):
    """TRL's reward signature: one number per completion, None where the reward does not apply or could not be judged."""

    def __call__(
        self, prompts: list[Prompt], completions: list[Completion], **columns: object
    ) -> Sequence[float | None]:
        """Scores every completion."""
        ...


class DiversityMetric(Protocol):
    """Texts of one group -> one novelty per text, in [0, 1].

    Reordering the texts reorders the novelties; a group of identical texts gets 0 everywhere.
    """

    def __call__(self, texts: list[str], **options: object) -> Sequence[float]:
        """Novelties of the texts of one group."""
        ...


class RowSource(Protocol):
    """Split name -> rows, each a dict with "prompt" and the columns that the domain's rewards read."""

    def __call__(self, split: Split, **options: object) -> Iterable[Row]:
        """The rows of one split, the same at every call."""
        ...


Fingerprint: TypeAlias = Callable[[str], str]
Scores: TypeAlias = Mapping[str, float]


class Curriculum(Protocol):
    """Progress in [0, 1] and the latest score of each domain -> a weight >= 0 per domain, not all 0."""

    def __call__(self, progress: float, scores: Scores, **options: object) -> Mapping[str, float]:
        """Weights of the domains at this point of the training."""
        ...


@dataclass(frozen=True)
class Domain:
    """One kind of task: its name, whether it is structured or creative, its rows, and how a text's format is named."""

    name: str
    kind: Kind
    rows: Callable[[Split], Iterable[Row]]
    fingerprint: Fingerprint


def text_of(completion: Completion) -> str:
    """The text of a plain or conversational completion (the last message's content)."""
    return completion if isinstance(completion, str) else completion[-1]["content"]
