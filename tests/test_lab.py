import itertools
import os
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from divrl.errors import RecipeError
from divrl.lab import corpus, creative, formats, problems
from divrl.lab.settings import PRESETS, WorldSettings
from divrl.models import lab_settings

seeds = st.integers(0, 10_000)


@given(seeds, st.sampled_from(formats.FORMATS))
def test_every_format_reads_back_the_right_answer(seed, name):
    problem = problems.draw(random.Random(seed))
    text = formats.render(problem, name)
    assert formats.fingerprint(text) == name
    wrong = formats.render(problem, name, wrong=random.Random(seed))
    if name == "code" and any(e.operation == "*" for e in problem.events):
        assert formats.answer(text) is None  # the evaluator refuses *=, so code must misread "grow" or fail
    else:
        assert formats.answer(text) == str(problem.answer)
    assert wrong != text
    assert formats.fingerprint(wrong) == name


@given(seeds)
def test_a_blind_spot_changes_the_answer_only_where_its_phrase_stands(seed):
    problem = problems.draw(random.Random(seed))
    for phrase in problems.PHRASES:
        seen = formats.answer(formats.render(problem, "prose", blind=phrase))
        if phrase not in {e.phrase for e in problem.events}:
            assert seen == str(problem.answer)


@pytest.mark.parametrize(
    "text",
    ["", "x = 3 ;", "x = 3 ; x *= 2 ; print ( x )", "x = 3 ; import os ; print ( x )", "#### 5", "the answer is 5", "<< 1 + 1 = 2 >>"],
)  # fmt: skip
def test_what_is_not_well_formed_has_no_answer(text):
    assert formats.answer(text) is None


@given(seeds, st.text(alphabet="x=+-;()print 0123456789<>#isplustheanswer", max_size=60))
def test_no_text_breaks_the_readers(seed, text):
    assert formats.answer(text) is None or formats.answer(text).lstrip("-").isdigit()
    assert formats.fingerprint(text) in {*formats.FORMATS, "other"}
    assert isinstance(creative.fingerprint(text), str)


def test_splits_share_no_prompt_and_the_corpus_holds_no_held_out_one():
    drawn = {
        s: {p.text for p in itertools.islice(problems.problems(s, 3), 300)} for s in ("train", "validation", "test")
    }
    assert all(len(part) == 300 for part in drawn.values())
    assert not drawn["train"] & drawn["test"]
    assert not drawn["validation"] & drawn["test"]
    lines = {s: {p for p, *_ in creative.prompts(s, 3)} for s in ("train", "validation", "test")}
    assert all(lines.values())
    assert not lines["train"] & (lines["test"] | lines["validation"])
    documents = list(itertools.islice(corpus.documents(WorldSettings(seed=3)), 3000))
    assert all(problems.split_of(prompt, 3) == "train" for prompt, _ in documents)


def test_the_corpus_keeps_its_shares_and_its_noise():
    settings = WorldSettings()
    documents = list(itertools.islice(corpus.documents(settings), 8000))
    maths = [text for _, text in documents if formats.fingerprint(text) != "other"]
    assert len(maths) / len(documents) == pytest.approx(1 - settings.creative_share, abs=0.02)
    for name, spec in settings.formats.items():
        share = sum(formats.fingerprint(text) == name for text in maths) / len(maths)
        assert share == pytest.approx(spec.share, abs=0.03)
    vocabulary = set(corpus.vocabulary())
    assert all(word in vocabulary for pair in documents for text in pair for word in text.split())


@given(seeds, st.sampled_from(creative.LEXICON["N"]), st.sampled_from(creative.LENGTHS))
def test_generated_lines_are_valid_and_damaged_ones_are_not(seed, word, length):
    line = creative.line(random.Random(seed), word, length)
    assert creative.valid(line, word, length)
    assert not creative.valid(line, word, length + 1)
    assert not creative.valid(line.replace(word, "the"), word, length)
    assert not creative.valid(line + " the", word, length)


def test_the_saved_weights_are_the_trained_ones(monkeypatch, tmp_path):
    from transformers import AutoModelForCausalLM

    from divrl.lab import base

    monkeypatch.setenv("DIVRL_CACHE", str(tmp_path))
    settings = lab_settings("tiny", steps=3)
    trained = {}
    keep = base.save_model_files
    monkeypatch.setattr(
        base, "save_model_files", lambda model, folder: (trained.update(model.state_dict()), keep(model, folder))
    )
    loaded = AutoModelForCausalLM.from_pretrained(base.ensure_base(settings)).state_dict()
    assert set(loaded) == set(trained)
    assert all((loaded[name] == trained[name]).all() for name in trained)


def test_the_base_is_an_ordinary_checkpoint_and_is_built_once(tiny_base, monkeypatch):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from divrl import models
    from divrl.lab import base

    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_base), AutoTokenizer.from_pretrained(tiny_base)
    assert (tiny_base / "model.safetensors").exists()
    assert tokenizer.decode(tokenizer("tom has 3 pens .")["input_ids"]) == "tom has 3 pens ."
    assert model.config.vocab_size == len(tokenizer)
    monkeypatch.setattr(base, "pretrain", lambda *a: pytest.fail("built twice"))
    assert models.lab(preset="tiny") == str(tiny_base)


def test_settings_decide_the_cache_key():
    keys = {
        settings.key() for settings in (*PRESETS.values(), WorldSettings(seed=1), WorldSettings(creative_share=0.2))
    }
    assert len(keys) == len(PRESETS) + 2


def test_bad_world_options_are_named_all_at_once():
    with pytest.raises(RecipeError) as error:
        lab_settings("tiny", {"cod": {"share": 1}, "prose": {"blind": "growl"}}, layers=0)
    assert "model.formats.cod" in str(error.value)
    assert "'code'" in str(error.value)
    assert "'grow'" in str(error.value)
    assert "model.layers" in str(error.value)


def test_any_rank_may_build_the_base(tmp_path, divrl):
    """`save_pretrained` writes no weights on other ranks than the first; the base must be whole whoever builds it."""
    import subprocess
    import sys

    code = "from divrl.models import lab; from transformers import AutoModelForCausalLM; AutoModelForCausalLM.from_pretrained(lab(preset='tiny', steps=2))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"RANK": "1", "LOCAL_RANK": "1", "DIVRL_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
