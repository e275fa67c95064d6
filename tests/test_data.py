import json

import pytest

from divrl.data.domains import heldout_rows, load_rows, train_dataset
from divrl.data.rows import split_by_prompt
from divrl.data.sources import files, hub, reasoning_gym
from divrl.errors import DataError
from divrl.types import Domain

ROWS = [{"prompt": f"question {i}", "answer": str(i)} for i in range(100)]


@pytest.fixture
def sources(tmp_path):
    import csv

    import datasets

    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "answer"])
        writer.writeheader()
        writer.writerows(ROWS)
    dataset = datasets.Dataset.from_list(ROWS)
    dataset.to_parquet(tmp_path / "rows.parquet")
    dataset.save_to_disk(tmp_path / "saved")
    return tmp_path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet", "saved"])
def test_every_kind_of_file_gives_the_same_rows_in_disjoint_splits(sources, name):
    read = hub if name == "saved" else files
    option = {"name": name} if name == "saved" else {"path": name}
    parts = {split: list(read(split, sources, **option)) for split in ("train", "validation", "test")}
    assert [row for row in ROWS if split_by_prompt(row["prompt"], 0.2) == "train"] == parts["train"]
    prompts = [row["prompt"] for part in parts.values() for row in part]
    assert sorted(prompts) == sorted(row["prompt"] for row in ROWS)
    assert 5 < len(parts["validation"]) + len(parts["test"]) < 40


def test_columns_are_renamed_and_splits_may_be_files(sources):
    rows = list(files("test", sources, {"test": "rows.jsonl"}, columns={"prompt": "answer", "gold": "prompt"}))
    assert rows[3] == {"prompt": "3", "gold": "question 3"}
    with pytest.raises(DataError, match="no file for the split 'train'"):
        files("train", sources, {"test": "rows.jsonl"})


BAD = {
    b'{"prompt": "good"}': "", b'{"prompt": ""}': "an empty prompt", b'{"question": "x"}': "no column 'prompt'", b"{": "not valid JSON",
    b'{"prompt": 3}': "neither text nor a list of messages", b'{"prompt": "a\xff"}': "not valid UTF-8", b'{"prompt": "a\\u0000"}': "NUL",
    b'{"prompt": [{"role": "user"}]}': "a message without role and content", b'["prompt"]': "not a mapping", b'{"prompt": null}': "neither text",
    b"[" * 5000: "not valid JSON", b'""': "not a mapping but str", b"1" * 5000: "not valid JSON", b'{"prompt": "a\\ud800"}': "not valid UTF-8",
}  # fmt: skip


def test_bad_rows_are_listed_with_file_and_line(tmp_path):
    (tmp_path / "bad.jsonl").write_bytes(b"\n".join(BAD))
    with pytest.raises(DataError) as error:
        list(files("train", tmp_path, "bad.jsonl"))
    messages = [str(p) for p in error.value.problems]
    for number, (row, says) in enumerate(BAD.items(), 1):
        assert any(m.startswith(f"bad.jsonl:{number}:") and says in m for m in messages) == bool(says), (row, messages)
    kept = [row for s in ("train", "validation", "test") for row in files(s, tmp_path, "bad.jsonl", on_bad_row="drop")]
    assert kept == [{"prompt": "good"}]


def test_a_csv_row_of_another_width_is_named(tmp_path):
    (tmp_path / "bad.csv").write_text("prompt,answer\na,1\nb\nc,3,4\n")
    with pytest.raises(DataError) as error:
        list(files("train", tmp_path, "bad.csv"))
    assert [p.where for p in error.value.problems] == ["bad.csv:3", "bad.csv:4"]


def test_files_as_spreadsheets_write_them(tmp_path):
    (tmp_path / "bom.csv").write_bytes(b"\xef\xbb\xbfprompt,answer\r\na,1\r\n")
    (tmp_path / "bom.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "a", "answer": "1"}\n')
    for name in ("bom.csv", "bom.jsonl"):
        assert list(files("test", tmp_path, {"test": name})) == [{"prompt": "a", "answer": "1"}]
    (tmp_path / "latin.csv").write_bytes("prompt\ncaf\u00e9\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv:2: not valid UTF-8"):
        list(files("train", tmp_path, "latin.csv"))


@pytest.mark.parametrize(
    ("name", "content"), [("y.parquet", b"PAR1xxPAR1"), ("x.parquet", b"junk"), ("x.txt", b""), ("x.jsonl", b"")]
)
def test_files_that_cannot_be_used(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError):
        list(files("train", tmp_path, name))


def test_an_unknown_dataset_is_a_data_error(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="cannot load the split"):
        list(hub("train", tmp_path, "folder"))


def test_gym_splits_are_disjoint_and_reproducible():
    drawn = {s: [row["prompt"] for row in reasoning_gym(s, "chain_sum", n=50)] for s in ("train", "validation", "test")}
    assert drawn["train"] == [row["prompt"] for row in reasoning_gym("train", "chain_sum", n=50)]
    assert not set(drawn["train"]) & set(drawn["test"])
    assert not set(drawn["validation"]) & set(drawn["test"])
    with pytest.raises(DataError, match="did you mean 'chain_sum'"):
        list(reasoning_gym("train", "chain_sums"))
    with pytest.raises(DataError, match=r"chain_sum\.config"):
        list(reasoning_gym("train", "chain_sum", config={"nonsense": 1}))


def domain(rows, name="d"):
    return Domain(name, "structured", lambda split: iter(rows), str)


def test_rows_of_a_users_function_are_checked_too():
    with pytest.raises(DataError, match="row 1: an empty prompt"):
        load_rows(domain([{"prompt": "a"}, {"prompt": " "}]), "train")
    with pytest.raises(DataError, match="'domain' is one that divrl passes itself"):
        load_rows(domain([{"prompt": "a", "domain": "x"}]), "train")
    with pytest.raises(DataError, match="no rows"):
        load_rows(domain([]), "train")
    assert len(heldout_rows(domain([{"prompt": "a"}, {"prompt": "a"}, {"prompt": "b"}]), "test", 5)) == 2


def test_domains_share_one_dataset_with_their_own_columns():
    chat = [{"role": "user", "content": "hello"}]
    dataset, indices = train_dataset(
        {"a": [{"prompt": "x", "n": 1}], "b": [{"prompt": "y", "tags": ["t"]}, {"prompt": "z", "tags": []}]}
    )
    assert indices == {"a": [0], "b": [1, 2]}
    assert dataset[0]["domain"] == "a"
    assert dataset[0]["tags"] is None
    assert dataset[1]["n"] is None
    assert train_dataset({"a": [{"prompt": chat}]})[0][0]["prompt"] == chat
    with pytest.raises(DataError, match="plain text and some are messages"):
        train_dataset({"a": [{"prompt": "x"}], "b": [{"prompt": chat}]})
    with pytest.raises(DataError, match="column 'n'"):
        train_dataset({"a": [{"prompt": "x", "n": 1}], "b": [{"prompt": "y", "n": "one"}]})
