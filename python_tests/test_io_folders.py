"""A folder appears whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fctfast import io


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_appears_when_the_block_ends_well(tmp_path: Path) -> None:
    with io.atomic_folder(tmp_path / "a" / "b" / "c") as folder:
        (folder / "one").write_text("1")
        assert not (tmp_path / "a" / "b" / "c").exists()
    assert names(tmp_path / "a" / "b") == {"c"}
    assert names(tmp_path / "a" / "b" / "c") == {"one"}


def test_nothing_stays_of_a_block_that_fails(tmp_path: Path) -> None:
    def fail() -> None:
        with io.atomic_folder(tmp_path / "a" / "b") as folder:
            (folder / "one").write_text("1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert names(tmp_path) == set()


def test_results_go_to_a_folder_and_not_to_a_file(tmp_path: Path) -> None:
    assert io.as_folder(None) is None
    assert io.as_folder(tmp_path / "new") == tmp_path / "new"
    assert io.as_folder(str(tmp_path)) == tmp_path
    (tmp_path / "file").write_text("mine")
    with pytest.raises(
        NotADirectoryError, match=r"expected a folder, .*file is a file; name another"
    ):
        io.as_folder(tmp_path / "file")


@pytest.mark.parametrize("link", [False, True])
def test_an_empty_folder_is_filled(tmp_path: Path, link: bool) -> None:
    (tmp_path / "real").mkdir()
    number = (tmp_path / "real").stat().st_ino
    if link:
        (tmp_path / "link").symlink_to("real")
    with io.atomic_folder(tmp_path / ("link" if link else "real"), last="last") as folder:
        (folder / "last").write_text("1")
        (folder / "zero").mkdir()
        assert not (tmp_path / "real" / "last").exists()
    assert names(tmp_path / "real") == {"last", "zero"}
    assert (tmp_path / "real").stat().st_ino == number  # a mount point stays one


def overtaken(path: Path) -> None:
    with io.atomic_folder(path) as folder:
        (folder / "three").write_text("3")
        path.mkdir()
        (path / "four").write_text("4")


def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    long = "x" * 200
    with io.atomic_folder(tmp_path / f"{long}1") as first:
        (first / "one").write_text("1")
        with io.atomic_folder(tmp_path / f"{long}2") as second:
            (second / "two").write_text("2")
        with pytest.raises(FileExistsError, match="by something else in the meantime"):
            overtaken(tmp_path / f"{long}1")
        (tmp_path / f"{long}1" / "four").unlink()
    assert names(tmp_path / f"{long}1") == {"one"}
    assert names(tmp_path / f"{long}2") == {"two"}
    assert names(tmp_path) == {f"{long}1", f"{long}2"}


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from fctfast import io\n"
        "with io.atomic_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'one').write_text('1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], check=False)
    assert done.returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    mine = tmp_path / left.replace(left.split("-")[2], "mine.unfinished")
    mine.mkdir()
    (mine / "notes").write_text("mine")
    with io.atomic_folder(tmp_path / "b"):
        assert left in names(tmp_path)  # of another name
    with io.atomic_folder(tmp_path / "a"):
        pass
    assert names(tmp_path) == {"a", "b", mine.name}


def test_what_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for path, message in (
        ("file", "is a file"), ("full", "not empty"), (os.sep, "not empty"),
        (".", "current folder"), ("none/..", "current folder"),
    ):  # fmt: skip
        with pytest.raises(FileExistsError, match=message), io.atomic_folder(path):
            pytest.fail("entered")
    assert names(tmp_path) == {"file", "full"}
