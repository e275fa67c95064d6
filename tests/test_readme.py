"""The README's own parts run exactly as it shows them."""

import re
from pathlib import Path

import pytest

from divrl.check import check_recipe
from divrl.monitors.sinks import read_rows
from divrl.train import train

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language, first_line):
    return [b for b in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if b.startswith(first_line)]


def test_a_reward_metric_domain_and_curriculum_of_ones_own(tiny_base, tmp_path):
    parts = blocks("python", "# my_parts.py")
    assert len(parts) == 4
    assert all(part.count("\n") < 15 for part in parts)
    (tmp_path / "my_parts.py").write_text("\n".join(parts))
    (recipe,) = blocks("yaml", "# my_recipe.yaml")
    path = tmp_path / "my_recipe.yaml"
    path.write_text(recipe)
    small = [
        "model.preset=tiny",
        f"output={tmp_path}/runs",
        "monitors.format={prompts: 2, samples: 4}",
        "evaluation=null",
        "trainer.max_steps=2",
        "trainer.use_cpu=true",
    ]
    checked = check_recipe(path, small)
    rows = read_rows(train(checked) / "metrics.jsonl")
    steps = [row for row in rows if row["event"] == "step"]
    assert len(steps) == 2
    used = {key for row in steps for key in row if key.startswith("mix/")}
    assert {"mix/riddles/short", "mix/riddles/novelty"} <= used
    curriculum = checked.bound.weights
    assert curriculum(0.0, {"riddles": 0.0, "lines": 1.0}) != curriculum(0.0, {"riddles": 1.0, "lines": 0.0})


@pytest.mark.parametrize("verb", ["train", "check", "evaluate", "report", "list"])
def test_every_verb_is_in_the_readme(verb):
    assert f"divrl {verb}" in README


def test_the_file_tree_names_what_is_there():
    (tree,) = [b for b in re.findall(r"```text\n(.*?)```", README, re.DOTALL) if b.startswith("divrl/")]
    root, folder = Path(__file__).parent.parent, Path()
    named = set()
    for line in tree.splitlines():
        entry = line.split("  ")[0] if not line.startswith(" ") else line.strip().split("  ")[0]
        entry = entry.strip()
        if line.startswith(" "):
            paths = [folder / name.strip() for name in entry.split(", ")]
        else:
            folder = Path(entry)
            paths = [folder]
        for path in paths:
            assert (root / path).exists(), path
            named.add(path)
    code = {p.relative_to(root) for p in (root / "divrl").rglob("*.py") if p.name != "__init__.py"}
    assert not {p for p in code if p not in named and p.parent not in named}
