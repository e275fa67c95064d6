"""Reinforcement learning for language models that gets better without getting narrower."""

from importlib.metadata import version

__version__ = version("divrl")
