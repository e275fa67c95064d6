"""What divrl leans on in TRL 1.16. When one of these fails, TRL has moved: read its change before mending the test."""

import inspect
from importlib.metadata import version

import pytest
from trl import GRPOConfig, GRPOTrainer

from divrl.trainer_fields import config_fields
from divrl.trainers.grpo import DivGRPOTrainer

SIGNATURES = {
    "_get_train_sampler": ["self", "dataset"],
    "_generate_and_score_completions": ["self", "inputs"],
    "_calculate_rewards": ["self", "inputs", "prompts", "completions", "completion_ids_list"],
    "_prepare_inputs": ["self", "generation_batch"],
    "_save_checkpoint": ["self", "model", "trial"],
    "_load_optimizer_and_scheduler": ["self", "checkpoint"],
    "_log_metric": ["self", "name", "value"],
}


def test_the_version_is_the_pinned_one():
    assert version("trl").startswith("1.16.")


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    assert list(inspect.signature(getattr(GRPOTrainer, name)).parameters) == SIGNATURES[name]


def test_the_docstring_lists_every_override():
    overridden = {
        n
        for n, v in vars(DivGRPOTrainer).items()
        if inspect.isfunction(v) and hasattr(GRPOTrainer, n) and n != "__init__"
    }
    assert overridden == {n for n in overridden if f"`{n}`" in DivGRPOTrainer.__doc__}
    assert len(overridden) == 4


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("_prepare_inputs", ["self._step % generate_every == 0 or self._buffered_inputs is None", "self._buffered_inputs["]),
        ("training_step", ["self._step += 1"]),
        ("log", ["self._metrics[mode].clear()"]),
        ("_calculate_rewards", ["rewards_per_func = gather(rewards_per_func)", 'reward_kwargs["trainer_state"] = self.state', 'reward_kwargs["log_metric"]']),
        ("_generate_and_score_completions", ['"advantages": advantages', "advantages = torch.nan_to_num(advantages, nan=0.0)"]),
        ("_generate", ['required_keys = {"prompt_ids", "completion_ids", "logprobs"}', "output = self.rollout_func(prompts, self)"]),
    ],
)  # fmt: skip
def test_the_lines_that_divrl_relies_on(method, words):
    source = inspect.getsource(getattr(GRPOTrainer, method))
    for word in words:
        assert word in source


def test_the_fields_read_from_the_source_are_the_real_ones():
    import dataclasses

    real = {field.name: field for field in dataclasses.fields(GRPOConfig)}
    assert set(config_fields()) == set(real)
    for name in (
        "num_generations",
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "num_iterations",
        "temperature",
        "top_p",
        "top_k",
        "max_completion_length",
    ):
        assert config_fields()[name].default == real[name].default, name


def test_trls_defaults_are_what_the_cpu_defaults_replace():
    fields = config_fields()
    assert fields["gradient_checkpointing"].default is True
    assert fields["bf16"].default is None
