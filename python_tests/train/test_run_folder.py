"""Run folders: what they record, whom they refuse, what survives a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fctfast import io
from fctfast.train import FitSettings, RunFolder, SGDSettings


def _open(path: Path, **other: Any) -> RunFolder:
    given: dict[str, Any] = {"command": "detect", "settings": FitSettings(), "seed": 0, "data": "f"}
    return RunFolder(path, **(given | other))


def test_a_run_writes_down_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run"
    with _open(path) as run:
        assert io.read_json(path / "run.json")["status"] == "running"
        assert not run.resumed
        run.finish_stage("probe", passes=12)
    record = io.read_json(path / "run.json")
    assert record["status"] == "done"
    assert record["command"] == "detect"
    assert record["settings"]["sgd"]["lr"] == 0.01
    assert record["seed"] == 0
    assert record["data"] == "f"
    assert record["versions"].keys() >= {"fctfast", "python", "torch", "threads"}
    assert record["stages"]["probe"]["passes"] == 12


def test_a_run_is_resumed_with_its_stages(tmp_path: Path) -> None:
    def fail(run: RunFolder) -> None:
        with run:
            run.finish_stage("probe", passes=3)
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail(_open(tmp_path / "run"))
    assert io.read_json(tmp_path / "run" / "run.json")["error"] == "RuntimeError: power cut"
    with _open(tmp_path / "run") as run:
        assert run.resumed
        assert run.is_done("probe")
        assert not run.is_done("score")
        assert run.facts("probe") == {"passes": 3}
        with pytest.raises(ValueError, match="stage 'score' is not finished"):
            run.facts("score")
        assert run.record["status"] == "running"
        assert run.record["error"] is None


def test_ctrl_c_is_an_interruption_not_a_failure(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), _open(tmp_path / "run"):
        raise KeyboardInterrupt
    assert io.read_json(tmp_path / "run" / "run.json")["status"] == "interrupted"


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    with _open(tmp_path / "run"):
        pass
    before = (tmp_path / "run" / "run.json").read_bytes()
    other = {"settings": FitSettings(sgd=SGDSettings(lr=0.5)), "seed": 1, "data": "g"}
    with (
        pytest.raises(ValueError, match="run with other settings") as caught,
        _open(tmp_path / "run", **other),
    ):
        pass
    for named in ("data (f there, g now)", "seed (0 there, 1 now)", "settings.sgd.lr (0.01 there"):
        assert named in str(caught.value)
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    with _open(tmp_path / "run"):  # the refusal let go of the lock
        pass


def test_the_folder_of_another_command_is_named_and_long_lists_are_cut(tmp_path: Path) -> None:
    with _open(tmp_path / "run"):
        pass
    with (
        pytest.raises(ValueError, match=r"other settings: it is one of fctfast detect\. Use"),
        _open(tmp_path / "run", command="dst", seed=1),
    ):
        pass
    many = {f"key{number}": number for number in range(20)}
    with (
        pytest.raises(ValueError, match=r"and [0-9]+ more\. Use the same settings") as caught,
        _open(tmp_path / "run", settings=many),
    ):
        pass
    assert str(caught.value).count(" there, ") == 8


def test_a_run_is_open_once_at_a_time(tmp_path: Path) -> None:
    # The lock belongs to the open file, so a second opening here stands for another process.
    with _open(tmp_path / "run") as run:
        run.finish_stage("probe")
        with pytest.raises(ValueError, match="is in use by another process"), _open(run.path):
            pass
        assert run.is_done("probe")
    with _open(tmp_path / "run") as run:
        assert run.is_done("probe")


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds files but no run\.json"), _open(tmp_path):
        pass
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.txt"]
    with pytest.raises(ValueError, match="is a file"), _open(tmp_path / "thesis.txt"):
        pass


@pytest.mark.parametrize("text", ["{", "[]", '{"format": "other"}'])
def test_a_damaged_or_foreign_run_file_is_a_clear_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json"), _open(tmp_path):
        pass


def test_what_a_kill_left_behind_is_swept_and_nothing_else(tmp_path: Path) -> None:
    # A kill during the very first write leaves a temporary file and the lock.
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.0123456789ab.tmp").write_text("{")
    with _open(tmp_path) as run:
        (run / "sub").mkdir()
        (run / "sub" / ".scores.parquet.ba9876543210.tmp").touch()
        (run / "sub" / ".mine.tmp").touch()
    with _open(tmp_path):
        pass
    assert [p.name for p in (tmp_path / "sub").iterdir()] == [".mine.tmp"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "run.json", "sub"]


def test_the_history_replaces_the_rows_of_a_fit(tmp_path: Path) -> None:
    with _open(tmp_path / "run") as run:
        assert run.history() == []
        run.write_history("probe", [{"pass": 0, "loss": 0.5}])
        run.write_history("base", [{"pass": 0, "loss": 2.0, "lr": 0.1}])
        run.write_history("probe", [{"pass": 0, "loss": 0.5}, {"pass": 1, "loss": 0.25}])
        assert run.history() == [
            {"fit": "base", "pass": 0, "loss": 2.0, "lr": 0.1},
            {"fit": "probe", "pass": 0, "loss": 0.5, "lr": None},
            {"fit": "probe", "pass": 1, "loss": 0.25, "lr": None},
        ]


def test_settings_that_json_cannot_hold_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        _open(tmp_path, settings={"lr": float("nan")})


def test_a_file_system_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fctfast.train.run_folder.fcntl.flock", refuse)
    with _open(tmp_path / "run") as run:
        run.finish_stage("probe")
    assert io.read_json(tmp_path / "run" / "run.json")["status"] == "done"
