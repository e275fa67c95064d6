"""Run by torchrun: scores 3 groups of 4 spread evenly over the processes, so that 2 processes cut the middle group."""

import json
import sys
from pathlib import Path

from accelerate import PartialState

from divrl.diversity.structural import format_rarity
from divrl.mix import BoundBonus, BoundTerm, MixDomain, RewardMix

state = PartialState(cpu=True)
texts = ["a1", "a2", "b3", "a4", "b5", "b6", "c7", "a8", "c9", "c0", "c1", "b2"]
prompts = [f"prompt {i // 4}" for i in range(12)]


def ok(prompts, completions, **kwargs):
    if "--raise" in sys.argv and state.process_index == 1:
        return []
    return [0.0 if text[1] in "45" else 1.0 for text in completions]


bonus = BoundBonus("format_rarity", lambda group: format_rarity(group, lambda text: text[0]))
mix = RewardMix([MixDomain("d", (BoundTerm("t", ok),), bonus)], 4)
size = 12 // state.num_processes
own = slice(state.process_index * size, (state.process_index + 1) * size)
rewards = mix(prompts[own], texts[own], domain=["d"] * size)
if state.num_processes > 1:
    from accelerate.utils import gather_object

    rewards = gather_object(rewards)
if state.is_main_process:
    Path(sys.argv[1]).write_text(json.dumps(rewards))
state.destroy_process_group()
