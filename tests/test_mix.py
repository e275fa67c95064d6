import math
from types import SimpleNamespace

import pytest

from divrl.diversity.structural import format_rarity
from divrl.errors import RewardError
from divrl.mix import BoundBonus, BoundTerm, MixDomain, RewardMix
from divrl.recipe import Schedule
from divrl.rollout import groups


def term(values, name="t", weight=1.0):
    return BoundTerm(name, lambda prompts, completions, **kw: values[: len(completions)], weight=weight)


def mix(*terms, bonus=None, on_failure="mask", g=4, **options):
    return RewardMix([MixDomain("d", terms, bonus, on_failure)], g, **options)


def call(reward, n=4, completions=None, **columns):
    completions = completions or [f"text {i}" for i in range(n)]
    return reward(["p"] * n, completions, domain=["d"] * n, **columns)


def test_terms_are_summed_by_weight():
    assert call(mix(term([1, 0, 1, 0]), term([1, 1, 0, 0], "u", 0.5))) == [1.5, 0.5, 1.0, 0.0]


def test_a_weight_may_follow_progress():
    reward = mix(term([1, 1, 1, 1], weight=Schedule(start=1, end=0, over=(0.5, 1))))
    at = [call(reward, trainer_state=SimpleNamespace(global_step=s, max_steps=100))[0] for s in (0, 50, 75, 100)]
    assert at == [1, 1, 0.5, 0]


@pytest.mark.parametrize(
    ("on_failure", "expected"),
    [
        ("mask", [None, 0.5, 1.5, 1.0]),
        ("drop_term", [1.5, 0.5, 1.5, 1.0]),
        ("group_mean", [1 + 0.5 / 3, 0.5, 1.5, 1.0]),
    ],
)
def test_none_follows_on_failure(on_failure, expected):
    values = call(mix(term([1, 0, 1, 1]), term([None, 1, 1, 0], "u", 0.5), on_failure=on_failure))
    if on_failure == "group_mean":
        expected[0] = 1 + 0.5 * 2 / 3
    assert values == [None if e is None else pytest.approx(e) for e in expected]


def test_all_none_is_masked_whatever_the_rule():
    for rule in ("mask", "drop_term", "group_mean"):
        assert call(mix(term([None] * 4), on_failure=rule)) == [None] * 4


def test_none_is_no_failure():
    assert call(mix(term([None, 1, 1, 1]), failure_budget=0)) == [None, 1, 1, 1]


@pytest.mark.parametrize("bad", [math.nan, math.inf, "1", [1], object(), b"1"])
def test_a_score_that_is_no_number_is_a_failure_not_a_zero(bad):
    assert call(mix(term([bad, 1, 1, 1]), failure_budget=0.5)) == [None, 1, 1, 1]
    with pytest.raises(RewardError, match="'t' of domain 'd', completion 0"):
        call(mix(term([bad, 1, 1, 1]), failure_budget=0.1))


def test_a_wrong_number_of_scores_ends_the_run():
    with pytest.raises(RewardError, match="returned 3 scores for 4"):
        call(mix(term([1, 1, 1])))


def test_a_reward_that_raises_is_counted_and_ends_the_run_past_the_budget():
    calls = {"n": 0}

    def flaky(prompts, completions, **kw):
        calls["n"] += 1
        if calls["n"] == 10:
            raise KeyError("gone")
        return [1.0] * len(completions)

    reward = mix(BoundTerm("flaky", flaky), failure_budget=0.15, failure_window=20)
    assert [call(reward)[0] for _ in range(10)] == [1.0] * 9 + [None]
    calls["n"] = 9
    with pytest.raises(RewardError, match=r"'flaky'.*KeyError: 'gone'.*flaky, line"):
        call(mix(BoundTerm("flaky", flaky)))


def test_the_bonus_sees_only_right_answers_of_its_own_group():
    bonus = BoundBonus("format_rarity", lambda texts: format_rarity(texts, lambda t: t[0]))
    values = [1, 1, 1, 0, 1, 1, 1, 1]
    texts = ["a", "a", "b", "b", "a", "a", "a", "a"]
    reward = RewardMix([MixDomain("d", (term(values),), bonus)], 4)
    found = reward(["p"] * 4 + ["q"] * 4, texts, domain=["d"] * 8)
    assert found == pytest.approx([0.75, 0.75, 1.5, 0, 1, 1, 1, 1])


def test_every_completion_is_logged_once_per_term():
    seen = []
    call(mix(term([1, 0, None, 1]), on_failure="drop_term"), log_metric=lambda name, value: seen.append((name, value)))
    assert [v for n, v in seen if n == "mix/d/t"] == [1, 0, 1]
    assert [v for n, v in seen if n == "mix/d/masked"] == [0, 0, 1, 0]


def test_columns_reach_only_the_rewards_that_take_them():
    got = {}

    def reward(prompts, completions, answer):
        got.update(answer=answer)
        return [1.0] * len(completions)

    call(mix(BoundTerm("t", reward, columns=frozenset({"answer"}))), answer=["x"] * 4, other=["y"] * 4)
    assert got == {"answer": ["x"] * 4}


def test_cut_groups_are_never_scored_silently():
    with pytest.raises(RewardError, match="cut"):
        groups(4, 2, ["p", "q", "q", "p"])
    with pytest.raises(RewardError, match="no whole number"):
        groups(5, 2, ["p"] * 5)
    assert groups(4, 2, ["p", "p", "p", "p"]) == [range(0, 2), range(2, 4)]


def test_a_domain_sees_its_own_columns_only():
    """In a batch every row has the columns of all domains; an option must not collide with, or read, another's."""
    seen = {}

    def short(prompts, completions, words=6, **kwargs):
        seen.update(kwargs, words=words)
        return [1.0] * len(completions)

    reward = RewardMix([MixDomain("d", (BoundTerm("short", short, {"words": 5}),))], 4, columns={"d": {"answer"}})
    assert call(reward, words=[None] * 4, answer=["x"] * 4) == [1.0] * 4
    assert seen["words"] == 5
    assert seen["answer"] == ["x"] * 4


def test_a_run_in_which_nothing_is_ever_judged_ends():
    reward = mix(term([None] * 4), failure_window=3)
    assert [call(reward) for _ in range(2)] == [[None] * 4] * 2
    with pytest.raises(RewardError, match="every reward gave None"):
        call(reward)


def test_negative_rewards_are_not_scaled_silently():
    bonus = BoundBonus("m", lambda texts: [0.0] * (len(texts) - 1) + [1.0], gate="none")
    with pytest.raises(RewardError, match="must be >= 0"):
        call(mix(term([-1, 0, 1, 1]), bonus=bonus))


def test_numbers_of_numpy_and_torch_are_numbers():
    import numpy as np
    import torch

    assert call(mix(term([np.float32(0.5), torch.tensor(1.0), True, np.int64(0)]))) == [0.5, 1.0, 1.0, 0.0]
