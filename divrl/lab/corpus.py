"""The pretraining corpus of the lab and its word-level tokenizer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from divrl.lab import creative, formats, problems
from divrl.lab.problems import Problem
from divrl.lab.settings import FormatSettings, WorldSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"


def blind_phrases(settings: WorldSettings) -> frozenset[str]:
    """The phrases that make a problem hopeless when all occur: one per format, or none if some format sees everything."""
    spots = [spec.blind for spec in settings.formats.values() if spec.share > 0]
    return frozenset(spot for spot in spots if spot) if all(spots) else frozenset()


def documents(settings: WorldSettings) -> Iterator[tuple[str, str]]:
    """Endless (prompt, completion) pairs in the shares, with the noise and the blind spots of the settings.

    Drawn from training prompts only: no validation or test prompt is ever in it.
    """
    rng = random.Random(f"corpus:{settings.seed}")
    worded = problems.problems("train", settings.seed, phrases=settings.phrases, blind=blind_phrases(settings))
    lines = creative.lines(settings.seed)
    names = list(settings.formats)
    shares = [settings.formats[name].share for name in names]
    while True:
        if rng.random() < settings.creative_share:
            yield next(lines)
            continue
        name = rng.choices(names, shares)[0]
        yield _solution(worded, name, settings.formats[name], rng)


def _solution(worded: Iterator[Problem], name: str, spec: FormatSettings, rng: random.Random) -> tuple[str, str]:
    """The next problem that the format can write down at all (no misread count below 0), so that shares stay exact."""
    wrong = rng if rng.random() < spec.noise else None
    while True:
        problem = next(worded)
        solution = formats.render(problem, name, blind=spec.blind, wrong=wrong)
        if formats.expressible(solution):
            return problem.text, solution


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word of the lab's world, the special tokens first; about 200."""
    words = {str(number) for number in range(formats.HIGHEST_NUMBER + 1)}
    words |= set(problems.NAMES) | set(problems.THINGS) | set(creative.PART_OF_SPEECH)
    for _, told in problems.PHRASES.values():
        words |= {word for word in told.split() if "{" not in word}
    words |= {"has", "how", "many", "is", "the", "answer", "plus", "minus", "times", "write", "words", "about", "print"}
    words |= {".", "?", ":", ";", "x", "=", "+=", "-=", "(", ")", "<<", ">>", "####", "+", "-", "*"}
    return (PAD, EOS, UNKNOWN, *sorted(words))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The word-level tokenizer: one token per whitespace-separated word, decoded with single spaces."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(vocabulary())}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=EOS, unk_token=UNKNOWN,
        padding_side="left", clean_up_tokenization_spaces=False,
    )  # fmt: skip
