import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divrl.evaluation.pass_at_k import diversity_statistics, entropy, format_statistics, pass_at_k
from divrl.evaluation.sampling import Samples
from divrl.monitors.format import total_variation


@given(st.data())
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_right_sample(data):
    n = data.draw(st.integers(1, 7))
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(itertools.combinations([i < c for i in range(n)], k))
    assert pass_at_k([c], n, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_on_its_edges():
    assert pass_at_k([0, 4], 4, 4) == 0.5
    assert pass_at_k([256] * 3, 256, 1) == 1.0
    assert math.isnan(pass_at_k([], 4, 1))
    for k in (0, 5):
        with pytest.raises(ValueError, match="expected 1 <= k <= 4"):
            pass_at_k([1], 4, k)


def test_entropy():
    assert entropy([]) == entropy([5]) == 0.0
    assert entropy([1, 1, 1, 0]) == pytest.approx(math.log(3))


def samples(formats, correct, texts=None):
    values = np.array(correct, dtype=float)
    return Samples(
        "d", texts or [[f"{f}{j}" for j, f in enumerate(row)] for row in formats], formats, values, values == 1, 0
    )


def test_routing_keeps_the_marginal_entropy_and_loses_the_one_within_a_prompt():
    found = format_statistics(samples([["a"] * 4, ["b"] * 4], [[1] * 4, [0] * 4]))
    assert found["entropy"] == pytest.approx(math.log(2))
    assert found["entropy_per_prompt"] == 0
    assert found["share"] == {"a": 0.5, "b": 0.5}
    assert found["accuracy"] == {"a": 1.0, "b": 0.0}
    assert found["effective"] == pytest.approx(2)


def test_entropies_are_normalised_by_the_base_models_formats():
    gone = format_statistics(samples([["a"] * 4], [[1] * 4]), known=["a", "b", "c"])
    assert gone["entropy_normalised"] == 0
    even = format_statistics(samples([["a", "b", "c"]], [[1] * 3]), known=["a", "b", "c"])
    assert even["entropy_per_prompt_normalised"] == pytest.approx(1)
    assert format_statistics(samples([["a", "b"]], [[1, 1]]), known=["a", "b", "c"])[
        "entropy_normalised"
    ] == pytest.approx(math.log(2) / math.log(3))


def test_diversity_counts_only_what_is_right_and_different():
    found = diversity_statistics(samples([["a", "a", "b", "b"]], [[1, 1, 1, 0]], [["x", "x", "y", "z"]]))
    assert found["valid"] == 0.75
    assert found["distinct_valid"] == 0.5
    assert found["template_entropy"] == pytest.approx(entropy([2, 1]))


def test_total_variation():
    assert total_variation({"a": 1.0}, {"b": 1.0}) == 1
    assert total_variation({"a": 0.5, "b": 0.5}, {"a": 0.5, "b": 0.5}) == 0
