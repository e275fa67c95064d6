"""Metrics keep their contract; a bonus never lets a wrong answer overtake a right one."""

import math
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divrl.diversity.bonus import passes, pay
from divrl.diversity.structural import format_rarity, rarity
from divrl.errors import RewardError
from divrl.resolve import builtin_functions

METRICS = builtin_functions("metric")
texts = st.lists(st.text(alphabet="ab 12.\n", max_size=20), min_size=1, max_size=8)


@pytest.mark.parametrize("name", METRICS)
@given(group=texts, data=st.data())
@settings(max_examples=60, deadline=None)
def test_metric_contract(name, group, data):
    metric = METRICS[name]
    values = metric(group)
    assert len(values) == len(group)
    assert all(0 <= value <= 1 for value in values)
    order = data.draw(st.permutations(range(len(group))))
    assert metric([group[i] for i in order]) == pytest.approx([values[i] for i in order])
    assert metric([group[0]] * len(group)) == [0.0] * len(group)


@pytest.mark.parametrize("name", METRICS)
def test_different_texts_are_new_and_a_lone_text_is_not(name):
    different = ["7", "the sea is wide\nand cold", "- a list of 12\n- and 13", "def f(): return 99"]
    assert all(value > 0 for value in METRICS[name](different))
    assert METRICS[name](["anything"]) == [0.0]
    assert METRICS[name]([]) == []


def test_rarity_is_one_over_the_class_size_on_a_scale_of_one():
    assert rarity(["a", "a", "a", "b"]) == pytest.approx([(1 / 3 - 1 / 4) / (3 / 4)] * 3 + [1.0])


GROUP = ["a1", "a2", "a3", "b1", "c1", "c2"]
first_letter = partial(format_rarity, fingerprint=lambda text: text[0])


def paid(values, inside, **options):
    return pay(GROUP, values, inside, first_letter, **({"name": "m", "weight": 1.0, "combine": "multiply"} | options))


def test_multiply_by_the_inverse_share_pays_every_format_alike():
    result = paid([1.0] * 6, range(6))
    assert sum(result.rewards[:3]) == pytest.approx(result.rewards[3]) == pytest.approx(sum(result.rewards[4:]))
    assert sum(result.rewards) == pytest.approx(6)


@given(
    right=st.lists(st.booleans(), min_size=6, max_size=6),
    weight=st.floats(0, 1),
    floor=st.none() | st.floats(0.01, 1),
    combine=st.sampled_from(["multiply", "rank"]),
)
def test_a_wrong_answer_never_overtakes_a_right_one(right, weight, floor, combine):
    values = [float(ok) for ok in right]
    result = paid(values, [i for i, ok in enumerate(right) if ok], weight=weight, floor=floor, combine=combine)
    assert all(r == 0 for r, ok in zip(result.rewards, right, strict=True) if not ok)
    assert all(r >= 0 for r in result.rewards)
    if weight < 1 or combine == "multiply":
        assert all(r > 0 for r, ok in zip(result.rewards, right, strict=True) if ok)
    if combine == "multiply":
        assert sum(result.rewards) == pytest.approx(sum(values))


def test_without_the_gate_a_wrong_answer_can_overtake():
    """Positive control of the test above: the gate is what holds it."""
    values = [1.0, 1.0, 1.0, 0.5, 1.0, 1.0]
    assert max(paid(values, range(6)).rewards) == paid(values, range(6)).rewards[3]


def test_weight_moves_the_resting_shares_as_documented():
    """Replicator dynamics of two formats with unequal accuracy rest at shares ~ accuracy^((1 - w) / w)."""
    accuracy = {"a": 0.8, "b": 0.4}
    for weight in (1.0, 0.5):
        share = {"a": 0.5, "b": 0.5}
        for _ in range(4000):
            right = {f: share[f] * accuracy[f] for f in share}
            factor = {f: right[f] ** -weight for f in share}
            earned = {f: accuracy[f] * factor[f] for f in share}
            mean = sum(share[f] * earned[f] for f in share)
            share = {f: share[f] * (1 + 0.02 * (earned[f] - mean)) for f in share}
        expected = 2 ** ((1 - weight) / weight)
        assert share["a"] / share["b"] == pytest.approx(expected, rel=1e-3)


def test_advantage_and_add_are_centred():
    shifted = paid([1.0] * 6, range(6), combine="advantage", weight=0.3)
    assert shifted.rewards == [1.0] * 6
    assert sum(shifted.advantage_shift) == pytest.approx(0)
    assert shifted.advantage_shift[3] > 0 > shifted.advantage_shift[0]
    added = paid([1.0] * 6, range(6), combine="add", weight=0.3)
    assert [r - 1 for r in added.rewards] == pytest.approx(shifted.advantage_shift)


@pytest.mark.parametrize("inside", [[], [3]])
def test_fewer_than_two_inside_the_gate_change_nothing(inside):
    assert paid([0.0, 0, 0, 1, 0, 0], inside).rewards == [0, 0, 0, 1, 0, 0]


def test_weight_zero_measures_but_does_not_pay():
    result = paid([1.0] * 6, range(6), weight=0)
    assert result.rewards == [1.0] * 6
    assert result.novelty[3] == 1.0


@pytest.mark.parametrize("bad", [[0.5] * 5, [2.0] + [0.0] * 5, [math.nan] * 6, ["x"] * 6, None, 3])
def test_a_metric_that_breaks_its_contract_is_named(bad):
    with pytest.raises(RewardError, match="metric mine"):
        pay(GROUP, [1.0] * 6, range(6), lambda texts: bad, name="mine", weight=1, combine="add")


def test_gates():
    assert passes(-1, "none")
    assert passes(1.0, "correct")
    assert not passes(0.99, "correct")
    assert passes(0.5, 0.5)
    assert not passes(0.49, 0.5)
