"""Files appear whole or not at all, and damage is told in words."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from fctfast import io


class RunsCode:
    """Pickles into a call that makes a file: what a reader must never run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    io.write_text(path, "old")

    def fail() -> None:
        with io.atomic_open(path, "w") as file:
            file.write("half of the new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_kill_in_the_middle_of_a_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    io.write_text(path, "old")
    script = (
        "import os, signal, sys; from fctfast import io\n"
        "with io.atomic_open(sys.argv[1], 'w') as file:\n"
        "    file.write('x' * 100_000); file.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_content_reaches_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real_sync(descriptor)

    def replace(source: Any, target: Any) -> None:
        order.append("rename")
        assert Path(source).parent == Path(target).parent  # else it would be a copy
        assert Path(source).read_bytes() == b"all of it"
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    io.write_bytes(tmp_path / "a", b"all of it")
    assert order == ["file", "rename", "folder"]


def test_a_new_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        io.write_bytes(tmp_path / "deep" / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "deep" / "a").stat().st_mode) == 0o640


def test_long_and_strange_names_are_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "new\nline", "ü.json", ".hidden"):
        io.write_text(tmp_path / name, name)
        assert (tmp_path / name).read_text() == name


def test_text_has_the_same_bytes_everywhere(tmp_path: Path) -> None:
    io.write_text(tmp_path / "a", "ä\nb\n")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa4\nb\n"


def test_a_folder_and_a_wrong_mode_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match="it is a folder; give the name of a file"):
        io.write_bytes(tmp_path, b"")
    with (
        pytest.raises(ValueError, match="expected mode 'wb' or 'w', got 'a'"),
        io.atomic_open(tmp_path / "a", "a"),
    ):
        pass
    assert os.listdir(tmp_path) == []


def test_json_compares_well(tmp_path: Path) -> None:
    io.write_json(tmp_path / "a.json", {"b": [1, None], "a": "ä"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "a": "ä",\n  "b": [\n    1,\n    null\n  ]\n}\n'
    assert io.read_json(tmp_path / "a.json") == {"a": "ä", "b": [1, None]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_json_refuses_what_it_cannot_hold(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="no NaN or infinity"):
        io.write_json(tmp_path / "a.json", {"x": [value]})
    with pytest.raises(TypeError, match=r"a\.json as JSON: .*set"):
        io.write_json(tmp_path / "a.json", {1, 2})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_says_which_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "run.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.json is not valid JSON .* delete it or restore it"):
        io.read_json(path)


@pytest.mark.parametrize(
    "read", [io.read_json, io.read_table, io.read_arrays, io.read_tensors, io.sha256_file]
)
def test_missing_files_and_folders_are_told_apart(tmp_path: Path, read: Any) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such .*: .*nothing"):
        read(tmp_path / "nothing")
    with pytest.raises(IsADirectoryError, match="got the folder"):
        read(tmp_path)


def test_table_keeps_types_and_gaps(tmp_path: Path) -> None:
    columns: dict[str, Any] = {
        "id": torch.tensor([3, 1, 2**62]),
        "fct": np.array([0.5, np.nan, -1.0], np.float32),
        "poisoned": np.array([True, False, True]),
        "path": ["a\nb", None, "ü"],
        "rank": [1, None, 3],
    }
    io.write_table(tmp_path / "t.parquet", columns)
    read = io.read_table(tmp_path / "t.parquet")
    assert list(read) == list(columns)
    assert read["id"].dtype == np.int64
    assert read["id"].tolist() == [3, 1, 2**62]
    assert read["fct"].dtype == np.float32
    np.testing.assert_array_equal(read["fct"], columns["fct"])
    assert read["poisoned"].dtype == np.bool_
    assert read["path"] == columns["path"]
    assert read["rank"] == columns["rank"]
    read["id"][0] = 0  # a caller's own memory, writable


def test_an_empty_table_keeps_its_columns(tmp_path: Path) -> None:
    io.write_table(tmp_path / "t", {"id": np.zeros(0, np.int64), "path": []})
    read = io.read_table(tmp_path / "t")
    assert read["id"].dtype == np.int64
    assert len(read["id"]) == 0
    assert read["path"] == []


def test_a_table_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"differ in length: \{'a': 2, 'b': 3\}"):
        io.write_table(tmp_path / "t", {"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(ValueError, match=r"'a' must be one-dimensional, got \[2, 2\]"):
        io.write_table(tmp_path / "t", {"a": np.zeros((2, 2))})
    with pytest.raises(ValueError, match="cannot write"):
        io.write_table(tmp_path / "t", {"a": ["\ud800"]})  # no UTF-8 form
    with pytest.raises(ValueError, match="cannot write"):
        io.write_table(tmp_path / "t", {"a": [1, "x"]})
    assert os.listdir(tmp_path) == []


def test_a_damaged_table_says_so(tmp_path: Path) -> None:
    path = tmp_path / "scores.parquet"
    io.write_table(path, {"a": np.arange(1000)})
    for content in (path.read_bytes()[:-20], b"", b"PAR1 nothing PAR1"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"scores\.parquet is not a readable Parquet table"):
            io.read_table(path)


def test_arrays_come_back_and_give_the_same_bytes(tmp_path: Path) -> None:
    arrays = {
        "images": np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3),
        "file": np.array(["ü", "bb"]),
        "empty": np.zeros((0, 3), np.float32),
    }
    io.write_arrays(tmp_path / "a.npz", arrays)
    read = io.read_arrays(tmp_path / "a.npz")
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)
    first = (tmp_path / "a.npz").read_bytes()
    io.write_arrays(tmp_path / "a.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == first


def test_arrays_of_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="array 'a' holds Python objects"):
        io.write_arrays(tmp_path / "a.npz", {"a": np.array([None])})
    marker = tmp_path / "ran"
    bad = np.array([None])
    bad[0] = RunsCode(marker)
    np.savez(tmp_path / "bad.npz", images=bad)
    with pytest.raises(ValueError, match="pickled objects are refused"):
        io.read_arrays(tmp_path / "bad.npz")
    (tmp_path / "bad.npz").write_bytes(pickle.dumps(RunsCode(marker)))
    with pytest.raises(ValueError, match=r"not a readable [.]npz"):
        io.read_arrays(tmp_path / "bad.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"single [.]npy array"):
        io.read_arrays(tmp_path / "one.npy")
    assert not marker.exists()


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool]
)
def test_tensors_come_back(tmp_path: Path, dtype: torch.dtype) -> None:
    tensor = torch.arange(12).reshape(3, 4).to(dtype)
    tensors = {"a": tensor, "t": tensor.T, "scalar": tensor[0, 1], "none": tensor[:0]}
    io.write_tensors(tmp_path / "w", tensors, {"arch": "resnet18"})
    read, metadata = io.read_tensors(tmp_path / "w")
    assert metadata == {"arch": "resnet18"}
    assert read.keys() == tensors.keys()
    for name, value in tensors.items():
        assert read[name].dtype == dtype
        assert torch.equal(read[name], value)


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.rand(3, 3))
    io.write_tensors(tmp_path / "w", {"a": weight, "b": weight, "c": weight[1:]})
    read, metadata = io.read_tensors(tmp_path / "w")
    assert torch.equal(read["c"], weight[1:])
    assert metadata == {}


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=12))
def test_metadata_comes_back_and_its_order_does_not_show(metadata: dict[str, str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        first, second = Path(folder) / "a", Path(folder) / "b"
        io.write_tensors(first, {"x": torch.ones(1)}, metadata)
        io.write_tensors(second, {"x": torch.ones(1)}, dict(reversed(metadata.items())))
        assert io.read_tensors(first)[1] == metadata
        assert first.read_bytes() == second.read_bytes()


def test_another_programs_metadata_is_read(tmp_path: Path) -> None:
    safetensors.torch.save_file({"x": torch.ones(1)}, tmp_path / "w", {"format": "pt"})
    assert io.read_tensors(tmp_path / "w")[1] == {"format": "pt"}
    with pytest.raises(TypeError, match="metadata must be text, got 'k': 3"):
        io.write_tensors(tmp_path / "w", {}, {"k": 3})  # type: ignore[dict-item]


def test_damaged_and_pickled_weights_are_refused(tmp_path: Path) -> None:
    path, marker = tmp_path / "model.safetensors", tmp_path / "ran"
    io.write_tensors(path, {"x": torch.ones(100)})
    whole = path.read_bytes()
    torch.save({"x": RunsCode(marker)}, tmp_path / "model.pt")
    for content in (whole[:50], whole[:-1], b"", (tmp_path / "model.pt").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.safetensors is not a readable safetensors"):
            io.read_tensors(path)
    assert not marker.exists()


def test_hashes(tmp_path: Path) -> None:
    io.write_bytes(tmp_path / "a", b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert io.sha256_file(tmp_path / "a") == known
    tensor = torch.arange(6).reshape(2, 3)
    assert io.sha256_tensor(tensor) == io.sha256_tensor(tensor.T.contiguous().T)
    others = [tensor.T, tensor.flatten(), tensor.int(), tensor + 1, tensor[:0], tensor[0, 0]]
    hashes = {io.sha256_tensor(other) for other in [tensor, *others]}
    assert len(hashes) == 7
    assert io.sha256_tensor(torch.ones(2, dtype=torch.bfloat16, requires_grad=True))
