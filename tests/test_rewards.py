"""The rewards: right answers get 1, wrong ones 0, and what cannot be judged None within its deadline."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divrl.resolve import builtin_functions
from reward_models.format import tags
from reward_models.math import exact_answer, final_answer
from reward_models.text import constraints


def score(completion, gold, **options):
    return exact_answer(["p"], [completion], [gold], **options)[0]


@pytest.mark.parametrize(
    ("completion", "gold"),
    [
        ("so the answer is 17.", "17"), ("#### 1,200", 1200), (r"thus \boxed{\frac{1}{2}}", "0.5"), ("I get 41, no, 42", "42"),
        (r"\boxed{1+x^2}", "x^2+1"), (r"\boxed{(1,2)}", "(1,2)"), (r"\boxed{0.5}", "50%"), ("7", 7.0), ("-3/4", "-0.75"),
        ("The answer is **12**", "12"), ("The answer is 5 because 2+3", "5"), ("Paris", "Paris"), (r"\boxed{\sqrt{8}}", r"2\sqrt{2}"), ("First 3.\nAnswer: 12", r"#### 12"),
    ],
)  # fmt: skip
def test_equal_answers_score_one(completion, gold):
    assert score(completion, gold) == 1.0


@pytest.mark.parametrize(
    ("completion", "gold"), [("18", "17"), ("", "17"), ("no number", "17"), (r"\boxed{x}", "y"), ("1/3", "0.333")]
)
def test_other_answers_score_zero(completion, gold):
    assert score(completion, gold) == 0.0


@pytest.mark.parametrize(
    "bomb", [r"\boxed{9^{9^{9^{9}}}}", r"\boxed{99999999!}", "\\boxed{" + "(" * 60 + "1" + ")" * 60 + "^{9^{9^9}}}"]
)
def test_a_bomb_is_not_judged_and_blocks_nobody(bomb):
    exact_answer(["p"], [r"\boxed{x+1}"], ["1+x"])  # the pool is up
    begun = time.monotonic()
    scores = exact_answer(["p"] * 3, [bomb, "17", r"\boxed{1+x}"], ["5", "17", "x+1"], timeout_s=1.0)
    assert scores[1:] == [1.0, 1.0]
    assert scores[0] in (None, 0.0)
    assert time.monotonic() - begun < 20


def test_the_deadline_is_what_stops_a_bomb():
    """Positive control: without a deadline worth the name the same comparison would run on."""
    assert exact_answer(["p"], [r"\boxed{99999999!}"], ["5"], timeout_s=0.5) == [None]


@pytest.mark.parametrize(
    "text", [r"\boxed{" + "1" * 3000 + "}", "#### " + "7" * 401, r"\boxed{" + "{" * 65 + "}" * 65 + "}", r"\boxed{1"]
)
def test_answers_beyond_the_limits_are_no_answers(text):
    assert final_answer(text) == ""


@given(st.integers(-(10**6), 10**6))
def test_any_integer_equals_itself_however_marked(number):
    for text in (f"#### {number}", f"\\boxed{{{number}}}", f"the answer is {number}.", str(number), f"{number}.0"):
        assert score(text, str(number)) == 1.0


def test_conversations_are_read_by_their_last_message():
    assert exact_answer(["p"], [[{"role": "assistant", "content": "#### 5"}]], ["5"]) == [1.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>a</think><answer>b</answer>", 1.0), (" <think>a</think>\n<answer>b</answer>\n", 1.0),
        ("<answer>b</answer><think>a</think>", 0.0), ("<think>a</think>x<answer>b</answer>", 0.0), ("<think></think><answer>b</answer>", 0.0),
        ("<think><think>a</think></think><answer>b</answer>", 0.0), ("<think>a</think><answer>b", 0.0), ("", 0.0),
        ("<think>a</think><answer>b</answer><answer>c</answer>", 0.0),
    ],
)  # fmt: skip
def test_tags(text, expected):
    assert tags(["p"], [text]) == [expected]


def test_constraints_give_the_share_that_is_kept():
    text = ["The quiet sea sleeps."]
    assert constraints([""], text, include=[["quiet", "sea"]], words=[4], sentences=[1]) == [1.0]
    assert constraints([""], text, include=[["quiet", "loud"]], avoid=["sea"], words=[4]) == [0.5]
    assert constraints([""], text, include=[["loud"]], words=[4], all_or_nothing=True) == [0.0]
    assert constraints([""], text) == [None]
    assert constraints([""], [""], words=[0], avoid=["x"]) == [0.0]


def test_gym_answers_are_scored_by_the_task():
    from divrl.data.sources import reasoning_gym

    rows = list(reasoning_gym("train", "chain_sum", n=4))
    columns = {key: [row[key] for row in rows] for key in ("gym_task", "gym_entry")}
    scorer = builtin_functions("reward")["gym_score"]
    assert scorer(["p"] * 4, [row["gold"] for row in rows], **columns) == [1.0] * 4
    assert scorer(["p"] * 4, [f"so <answer>{row['gold']}</answer>" for row in rows], **columns) == [1.0] * 4
    assert all(value < 1 for value in scorer(["p"] * 4, ["x", "", "12345678", "-"], **columns))


@pytest.mark.parametrize("name", builtin_functions("reward"))
def test_every_reward_says_what_its_number_means(name):
    text = builtin_functions("reward")[name].__doc__
    assert "1" in text
    assert "0" in text


def test_rewards_run_without_divrl():
    import subprocess
    import sys

    code = "import sys, reward_models.math, reward_models.text, reward_models.format, reward_models.gym; print([m for m in sys.modules if m.startswith('divrl')])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
