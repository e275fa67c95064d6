"""The settings of a lab world, and its presets. Every one of them is an option of a recipe's `model:` section."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict, Field, model_validator

from divrl.lab.problems import PHRASES

WORLD_VERSION = 1  # part of the cache key: raise it when the code changes what a base model learns


class FormatSettings(BaseModel):
    """One format's part in the corpus."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(
        ge=0, le=1, description="share of the solutions written in this format (shares are normalised)"
    )
    noise: float = Field(ge=0, le=1, description="share of its documents with one wrong number")
    blind: str | None = Field(default=None, description="the phrase this format always misreads")


class WorldSettings(BaseModel):
    """A pretraining corpus and the tiny Llama trained on it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    formats: dict[str, FormatSettings] = {
        "code": FormatSettings(share=0.45, noise=0.25, blind="grow"),
        "calculator": FormatSettings(share=0.30, noise=0.55, blind="send"),
        "prose": FormatSettings(share=0.25, noise=0.55, blind="break"),
    }
    phrases: tuple[str, ...] = tuple(PHRASES)
    creative_share: float = Field(default=0.3, ge=0, lt=1, description="share of creative documents")
    hidden_size: int = Field(default=64, gt=0)
    layers: int = Field(default=2, gt=0)
    heads: int = Field(default=4, gt=0)
    intermediate_size: int = Field(default=192, gt=0)
    steps: int = Field(default=2200, gt=0, description="optimiser steps of pretraining")
    documents_per_step: int = Field(default=32, gt=0)
    learning_rate: float = Field(default=4e-3, gt=0)
    initializer_range: float = Field(
        default=0.08, gt=0, description="transformers' 0.02 is far too small at this width"
    )

    @model_validator(mode="after")
    def _heads_divide(self) -> WorldSettings:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} is no multiple of 2 x heads ({2 * self.heads})")
        return self

    def key(self) -> str:
        """A hash of everything that decides the weights; names the folder in the cache."""
        content = json.dumps([WORLD_VERSION, self.model_dump(mode="json")], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


PRESETS: dict[str, WorldSettings] = {
    "default": WorldSettings(),
    # code sees every phrase and is far more accurate than the others, so that nothing speaks for a second format but
    # diversity itself: plain RL collapses onto code
    "collapse": WorldSettings(
        phrases=tuple(phrase for phrase in PHRASES if phrase != "grow"),
        formats={
            "code": FormatSettings(share=0.45, noise=0.25),
            "calculator": FormatSettings(share=0.30, noise=0.65, blind="send"),
            "prose": FormatSettings(share=0.25, noise=0.65, blind="break"),
        },
    ),
    # seconds instead of a minute, for tests and first tries of a recipe: mechanics, not findings
    "tiny": WorldSettings(hidden_size=32, layers=1, heads=2, intermediate_size=64, steps=120, documents_per_step=32),
}
