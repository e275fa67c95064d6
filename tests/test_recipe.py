import sys
from pathlib import Path

import pytest
import yaml

from divrl.check import check_recipe
from divrl.errors import DataError, RecipeError
from divrl.recipe import Schedule, load_recipe, merge

ROOT = Path(__file__).parent.parent
SHIPPED = sorted((ROOT / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_shipped_recipe_passes_its_own_check(path):
    checked = check_recipe(path)
    assert checked.gold
    assert path.read_text().startswith("# "), "a recipe opens with one line on what it is for"


def test_scalars_are_what_they_look_like(write_recipe):
    path = write_recipe()
    path.write_text(path.read_text().replace("0.001", "1e-3"))
    recipe = load_recipe(path, ["trainer.save_strategy=no", "trainer.use_cpu=true"])
    assert recipe.trainer["learning_rate"] == 1e-3
    assert recipe.trainer["save_strategy"] == "no"
    assert recipe.trainer["use_cpu"] is True


def test_extends_and_overrides(write_recipe, tmp_path):
    write_recipe()
    child = tmp_path / "child.yaml"
    child.write_text("extends: recipe.yaml\nname: child\ndomains: {lines: {bonus: null}}\n")
    recipe = load_recipe(child, ["seed=7", "domains.maths.bonus.weight={start: 1, end: 0}", "model=some/path"])
    assert (recipe.name, recipe.seed) == ("child", 7)
    assert recipe.domains["lines"].bonus is None
    assert recipe.domains["maths"].bonus.weight == Schedule(start=1, end=0)
    assert (recipe.model.use, recipe.model.options) == ("pretrained", {"path": "some/path"})


def test_another_use_replaces_the_options_of_the_first():
    assert merge({"m": {"use": "a", "x": 1}}, {"m": {"use": "b"}}) == {"m": {"use": "b"}}
    assert merge({"m": {"use": "a", "x": 1}}, {"m": {"y": 2}}) == {"m": {"use": "a", "x": 1, "y": 2}}


def test_schedules_are_linear_inside_and_constant_outside():
    schedule = Schedule(start=1, end=0, over=(0.25, 0.75))
    assert [schedule.at(p) for p in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 0.5, 0, 0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "not valid YAML"), ("- a\n- b\n", "is not a mapping"), ("name: a\nname: b\n", "stands twice"),
        ("extends: recipe.yaml\n", "extends itself"), ("extends: nowhere.yaml\n", "no such file"), ("!!python/object:os.system {}\n", "not valid YAML"),
    ],
)  # fmt: skip
def test_files_that_are_no_recipes(tmp_path, text, says):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_recipe(path)


TEN_MISTAKES = {
    "domains.maths.kin=structured": "did you mean 'kind'",
    "domains.maths.terms.solved.use=lab_solve": "did you mean 'lab_solved'",
    "domains.maths.data.m=3": "domains.maths.data.m: no such option",
    "domains.lines.bonus.combine=multipli": "domains.lines.bonus.combine",
    "domains.lines.fingerprint=lab_lines": "did you mean 'lab_line'",
    "model.preset=tinny": "model.preset: 'tinny' does not fit",
    "curriculum.use=unifrom": "did you mean 'uniform'",
    "monitors.format.samples=1": "monitors.format.samples",
    "trainer.learning_rat=1": "did you mean 'learning_rate'",
    "trainer.num_generations=3": "completions are no whole number of groups of 3",
}


def test_ten_mistakes_give_ten_messages_at_once(write_recipe):
    with pytest.raises(RecipeError) as error:
        check_recipe(write_recipe(), list(TEN_MISTAKES))
    messages = [str(problem) for problem in error.value.problems]
    assert len(messages) == 10, "\n".join(messages)
    for says in TEN_MISTAKES.values():
        assert any(says in message for message in messages), says


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trainer.output_dir=x", "is set by divrl"), ("trainer.learning_rate=fast", "trainer.learning_rate: 'fast' does not fit"),
        ("trainer.bf16=1", "trainer.bf16"), ("name=../x", "letters, digits"), ("seed=-1", "seed"), ("domains=null", "domains"),
        ("domains.maths.terms=null", "domains.maths.terms"), ("domains.maths.terms.solved=nowhere.reward", "cannot import 'nowhere'"),
        ("domains.maths.terms.solved=math.sqroot", "has no function 'sqroot'"), ("model=null", "model"), ("nonsense", "not an override"),
        ("trainer.generation_batch_size=7", "a multiple of 8"), ("trainer.num_generations=1", "at least 2 siblings"),
        ("curriculum={use: fixed, weights: {math: 1}}", "did you mean 'maths'"),
        ("domains.maths.bonus.metric={use: distinct_n, n: two}", "valid integer"), ("model.formats={cod: {share: 1}}", "did you mean 'code'"),
        ("domains.maths.terms.solved={use: exact_answer, answer: ['3']}", "name of a column"), ("trainer.num_generations=32", "per_device_train_batch_size"),
        ("domains.maths.terms.solved=constraints", "the gold answer"), ("domains.maths.bonus.gate=sometimes", "domains.maths.bonus.gate"),
        ("domains.lines.terms.valid=gym_score", "reads the column 'gym_task'"),
        ("wandb.mode=sometimes", "wandb.mode"), ("domains.maths.bonus.weight=.nan", "finite"),
        ("domains.maths.terms.reward=lab_solved", "of this name itself"), ("trainer.max_steps=0", "at least 1"), ("trainer.temperature=0", "at least"),
        ("evaluation.k=[64]", "needs as many samples"), ("domains.lines.bonus={metric: distinct_n, combine: add, floor: 0.1}", "floor belongs to"),
        ("domains.Maths={kind: creative, data: lab_lines, terms: {valid: lab_valid_line}}", "lower-case letters"), ("trainer={3: 1}", "trainer.3"), ("name=2024-13-45", "not valid YAML"), ("model.hidden_size=33", "no multiple"),
        ("domains.maths.fingerprint=builtins.str", "no signature"), ("trainer.save_total_limit=1", "at least 2"),
        ("curriculum={use: fixed, weights: {maths: 0}}", "weights >= 0, not all 0"), ("trainer.eval_on_start=true", "is set by divrl"), ("domains.maths.bonus={metric: format_rarity, combine: rank, weight: 2}", "a weight in [0, 1]"),
    ],
)  # fmt: skip
def test_one_mistake_one_message(write_recipe, override, says):
    with pytest.raises(RecipeError) as error:
        check_recipe(write_recipe(), [override])
    assert any(says in str(problem) for problem in error.value.problems), str(error.value)
    assert len(error.value.problems) <= 2


def test_one_bad_domain_name_hides_nothing(write_recipe):
    with pytest.raises(RecipeError) as error:
        check_recipe(write_recipe(), ["domains.Maths={kind: creative}", "trainer.learning_rat=1", "curriculum=unifrom"])
    assert len(error.value.problems) >= 3


PARTS = """
import sys

def broken_metric(texts):
    return None

def broken_curriculum(progress, scores):
    raise KeyError("gone")

def broken_fingerprint(text):
    raise ValueError("no")

def broken_rows(split):
    yield {"prompt": "a"}
    raise OSError("no disk")

def odd_rows(split):
    yield from ["a", 3, {"prompt": "good"}]

def nested_rows(split):
    yield {"prompt": "a", "meta": {"b": 1}}
"""


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("domains.maths.bonus.metric=odd_parts.broken_metric", "expected one novelty per text"),
        ("curriculum=odd_parts.broken_curriculum", "raised KeyError"),
        ("domains.maths.fingerprint=odd_parts.broken_fingerprint", "raised ValueError"),
        ("domains.maths.data=odd_parts.broken_rows", "raised OSError"),
        ("domains.maths.data=odd_parts.odd_rows", "row 1: not a mapping but int"),
        ("domains.maths.data=odd_parts.nested_rows", "nest as JSON text"),
        ("domains.maths.data=exits.rows", "cannot import 'exits'"),
    ],
)
def test_parts_of_ones_own_that_break_are_named(write_recipe, tmp_path, override, says):
    (tmp_path / "odd_parts.py").write_text(PARTS)
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(0)\n")
    sys.modules.pop("odd_parts", None)
    with pytest.raises((RecipeError, DataError)) as error:
        check_recipe(write_recipe(), [override])
    assert says in str(error.value)


def test_anchors_merge_and_short_forms_take_options(write_recipe):
    path = write_recipe()
    recipe = load_recipe(
        path,
        [
            "domains.maths.bonus.metric.use=distinct_n",
            "domains.maths.bonus.metric.n=3",
            "domains.lines.fingerprint=lab_line",
        ],
    )
    assert recipe.domains["maths"].bonus.metric.options == {"n": 3}
    other = path.parent / "anchors.yaml"
    other.write_text(
        "name: a\nmodel: some/path\ndomains:\n  a: &d {kind: creative, data: lab_lines, terms: {v: lab_valid_line}}\n  b: {<<: *d, kind: structured}\n"
    )
    assert load_recipe(other).domains["b"].kind == "structured"


def test_a_reward_without_trls_signature_is_refused(write_recipe, tmp_path):
    (tmp_path / "no_signature.py").write_text("def f(text):\n    return 1.0\n")
    with pytest.raises(RecipeError, match="TRL's signature"):
        check_recipe(write_recipe(), ["domains.maths.terms.solved=no_signature.f"])


def test_rows_are_checked_before_any_model(write_recipe, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "answer": "1"}\n{"prompt": ""}\nnot json\n')
    with pytest.raises(DataError) as error:
        check_recipe(write_recipe(), ["domains.maths.data={use: files, path: rows.jsonl}"])
    assert "rows.jsonl:2" in str(error.value)
    assert "rows.jsonl:3" in str(error.value)


def test_check_and_help_do_without_torch(divrl, write_recipe):
    code = "import sys; sys.argv = ['divrl', *{}]; from divrl.cli import main\ntry:\n    main()\nfinally:\n    print('torch' in sys.modules, 'trl' in sys.modules)"
    import subprocess

    for arguments in (["--help"], ["check", str(write_recipe())], ["list"]):
        done = subprocess.run([sys.executable, "-c", code.format(arguments)], capture_output=True, text=True)
        assert done.stdout.strip().endswith("False False"), done.stdout + done.stderr


def test_exit_codes_and_no_traceback(divrl, write_recipe, tmp_path):
    for arguments, code in (
        (["check", write_recipe()], 0), (["check", write_recipe(), "sed=1"], 2), (["check", "nowhere.yaml"], 2), (["report", tmp_path], 2),
        (["train"], 2), (["list", "nothing"], 2), (["check", write_recipe(), "domains.maths.data={use: files, path: no.jsonl}"], 4),
        (["train", write_recipe(), "model=./nowhere", "name=lost"], 3), (["evaluate", "nowhere", "--recipe", write_recipe()], 3),
    ):  # fmt: skip
        done = divrl(*arguments)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        assert code == 0 or done.stderr.strip()


def test_the_readme_recipe_is_the_quickstart():
    text = (ROOT / "README.md").read_text()
    block = next(b.split("```")[0] for b in text.split("```yaml\n")[1:] if "name: quickstart" in b)
    shown = yaml.safe_load(block)
    assert shown == yaml.safe_load((ROOT / "recipes/lab/quickstart.yaml").read_text())
