import math
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divrl.curriculum.sampler import CurriculumSampler
from divrl.curriculum.schedules import fixed, structured_first, uniform
from divrl.errors import RecipeError

ROWS = {"a": list(range(10)), "b": list(range(10, 17))}
SHAPE = {"prompts_per_batch": 4, "num_generations": 2, "repeats": 3, "batches": 8}


def sampler(weights=uniform, start=0, **changes):
    return CurriculumSampler(ROWS, weights, start_batch=lambda: start, seed=1, **(SHAPE | changes))


def test_the_order_is_trls_order():
    """Each prompt G times in a row, each batch `repeats` times, as trl's RepeatSampler does."""
    from trl.trainer.utils import RepeatSampler

    ours, own = list(sampler()), sampler()
    theirs = list(RepeatSampler(list(range(17)), mini_repeat_count=2, batch_size=4, repeat_count=3, seed=1))
    assert len(ours) == len(own) == len(theirs)
    for order in (ours, theirs):
        for low in range(0, len(order), 24):
            batch = order[low : low + 24]
            assert batch[:8] * 3 == batch
            assert batch[0:8:2] == batch[1:8:2]


@given(weight=st.floats(0.05, 0.95), batches=st.integers(1, 40), seed=st.integers(0, 99))
def test_counts_are_within_one_of_the_weights_and_rows_are_not_repeated_within_a_pass(weight, batches, seed):
    draws = CurriculumSampler(
        ROWS, partial(fixed, weights={"a": weight, "b": 1 - weight}), start_batch=lambda: 0, seed=seed, **SHAPE
    )
    drawn, seen = np.zeros(2, dtype=int), Counter()
    for batch in range(batches):
        counts = draws.counts(batch)
        assert counts.sum() == 4
        assert abs(counts[0] - 4 * weight) <= 1 + 1e-9
        seen.update(draws.prompts(batch, drawn))
        drawn += counts
        for rows in ROWS.values():
            times = [seen[row] for row in rows]
            assert max(times) - min(times) <= 1


def test_a_later_epoch_continues_where_the_first_ended():
    whole = list(sampler(batches=8)) + list(sampler(start=4))
    assert whole[: len(sampler())] != whole[len(sampler()) :]
    counts = Counter(row for row in whole[::6] if row < 10)
    assert max(counts.values()) - min(counts[row] for row in ROWS["a"]) <= 1


def test_scores_are_known_two_batches_later_and_the_base_at_once():
    draws = sampler()
    assert all(math.isnan(v) for v in draws.scores_for(0).values())
    draws.record(0, {"a": 0.1, "b": 0.2})
    draws.record(3, {"a": 0.5, "b": 0.6})
    assert [draws.scores_for(b)["a"] for b in (0, 2, 4, 5, 9)] == [0.1, 0.1, 0.1, 0.5, 0.5]


def test_draws_depend_on_recorded_scores_alone():
    def by_score(progress, scores):
        return {"a": 1.0, "b": 0.0 if math.isnan(scores["a"]) else scores["a"]}

    one, two = sampler(by_score), sampler(by_score)
    for draws in (one, two):
        draws.record(0, {"a": 1.0, "b": 0.0})
    list(one)
    assert list(one) == list(two)


@pytest.mark.parametrize("bad", [{"a": -1.0}, {"a": 0.0}, {"c": 1.0}, {"a": math.nan}])
def test_weights_that_are_none_are_named(bad):
    with pytest.raises(RecipeError, match="curriculum: returned"):
        list(sampler(lambda progress, scores: bad))


def test_schedules():
    scores = {"a": 0.0, "b": 0.0}
    first = partial(structured_first, kinds={"a": "structured", "b": "creative"}, switch=0.5, replay=0.2)
    assert uniform(0, scores) == {"a": 1, "b": 1}
    assert fixed(0, scores, {"a": 3}) == {"a": 3, "b": 0}
    assert first(0.4, scores) == {"a": 1, "b": 0}
    assert first(0.5, scores) == {"a": 0.2, "b": 0.8}
    assert structured_first(0, scores, {"a": "creative", "b": "creative"}) == uniform(0, scores)


def test_a_curriculum_that_raises_is_named():
    with pytest.raises(RecipeError, match="curriculum raised KeyError at batch 0"):
        list(sampler(lambda progress, scores: {}["x"]))
