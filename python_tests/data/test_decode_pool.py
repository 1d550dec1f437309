"""Decoder processes may die; every image but the one at fault comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fctfast.data import decode, decode_pool
from fctfast.data.decode_pool import BadFile, Job, decode_stream, default_workers


def children() -> set[str]:
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= set((task / "children").read_text().split())
    return found


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("size", [None, (4, 4)])
def test_every_image_comes_back_once(
    encode: Callable[..., bytes], workers: int, size: tuple[int, int] | None
) -> None:
    files = [encode(number % 7, kind="PNG") for number in range(300)]
    results = dict(decode_stream(enumerate(files), workers=workers, size=size))
    assert sorted(results) == list(range(300))
    for number, pixels in results.items():
        expected = np.array(decode.decode_image(files[number], size))
        assert isinstance(pixels, np.ndarray)
        np.testing.assert_array_equal(pixels, expected)


def test_large_images_fit_through_the_pipes(encode: Callable[..., bytes]) -> None:
    # Both directions are larger than a pipe: a parent that only writes would wait for ever.
    files = [encode(number, size=(700, 600), kind="BMP") for number in range(12)]
    results = dict(decode_stream(enumerate(files), workers=2))
    assert all(getattr(pixels, "shape", None) == (600, 700, 3) for pixels in results.values())


def test_no_work_gives_no_result() -> None:
    assert list(decode_stream([], workers=2)) == []


@pytest.mark.usefixtures("faulty_decoder")
def test_a_dying_decoder_loses_its_image_only(encode: Callable[..., bytes]) -> None:
    faults = {3: b"EXIT", 4: b"SEGV", 90: b"EXIT", 91: b"NOISE", 150: b"EXIT", 199: b"SEGV"}
    files = [faults.get(number, encode(number)) for number in range(200)]
    results = dict(decode_stream(enumerate(files), workers=2))
    assert sorted(results) == list(range(200))
    bad = {number: result for number, result in results.items() if isinstance(result, BadFile)}
    assert sorted(bad) == sorted(faults)
    assert bad[3].reason == "the decoder crashed on it (exit status 3)"
    assert bad[4].reason == "the decoder crashed on it (SIGSEGV)"
    assert bad[91].reason == "was noisy"


@pytest.mark.usefixtures("faulty_decoder")
def test_an_image_is_tried_twice_before_it_is_given_up(
    encode: Callable[..., bytes], tmp_path: Path
) -> None:
    # What is at fault may be the system (out of memory) and not the image.
    files = [encode(0), b"ONCE" + bytes(tmp_path / "died"), encode(1)]
    results = dict(decode_stream(enumerate(files)))
    assert (tmp_path / "died").exists()
    assert results[1] == BadFile("not a JPEG, PNG, WebP or BMP image")


@pytest.mark.usefixtures("faulty_decoder")
def test_a_hanging_decoder_is_ended(encode: Callable[..., bytes]) -> None:
    files = [encode(0), b"HANG", encode(1)]
    began = time.monotonic()
    results = dict(decode_stream(enumerate(files), time_limit=1.5))
    assert time.monotonic() - began < 30
    assert results[1] == BadFile("decoding took longer than 1.5 s")
    assert isinstance(results[0], np.ndarray)
    assert isinstance(results[2], np.ndarray)


@pytest.mark.usefixtures("faulty_decoder")
@pytest.mark.skipif(sys.platform != "linux", reason="memory limits of a process: Linux only")
def test_a_hungry_decoder_is_refused_memory(encode: Callable[..., bytes]) -> None:
    results = dict(decode_stream(enumerate([b"HUNGRY", encode(0)])))
    assert isinstance(results[0], BadFile)
    assert isinstance(results[1], np.ndarray)


def test_jobs_are_pulled_as_they_are_needed(encode: Callable[..., bytes]) -> None:
    pulled = 0

    def jobs() -> Iterator[Job]:
        nonlocal pulled
        for number in range(5000):
            pulled += 1
            yield number, BadFile("known") if number % 2 else encode(0)

    stream = decode_stream(jobs())
    next(stream)
    assert pulled < 500
    stream.close()


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="no /proc")
def test_no_process_is_left_behind(encode: Callable[..., bytes]) -> None:
    before = children()
    stream = decode_stream(((number, encode(0)) for number in range(500)), workers=3)
    next(stream)
    assert len(children() - before) == 3
    stream.close()
    assert children() == before

    def fail() -> Iterator[Job]:
        yield 0, encode(0)
        raise OSError("reading broke")

    with pytest.raises(OSError, match="reading broke"):
        list(decode_stream(fail()))
    assert children() == before


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    script = (
        "import os, sys; from fctfast.data.decode_pool import decode_stream, BadFile\n"
        "def jobs():\n"
        "    yield 0, BadFile('x')\n"
        "    import pathlib, signal, subprocess\n"
        "    pids = subprocess.run(['ps', '-o', 'pid=', '--ppid', str(os.getpid())],"
        " capture_output=True, text=True).stdout\n"
        "    pathlib.Path(sys.argv[1]).write_text(pids)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "list(decode_stream(jobs(), workers=1))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "pids")], check=False)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    deadline = time.monotonic() + 20

    def runs(pid: int) -> bool:
        try:
            return b"decode.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False

    while any(runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "a decoder outlived its parent"
        time.sleep(0.05)


def test_a_decoder_that_cannot_start_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "broken.py"
    program.write_text("raise SystemExit(5)")
    monkeypatch.setattr(decode, "__file__", str(program))
    with pytest.raises(RuntimeError, match=r"does not start \(exit status 5\).*can import PIL"):
        list(decode_stream([(0, b"x")]))


def test_a_file_called_like_a_library_is_not_imported(
    encode: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Auditing a folder from inside it must not run what lies there.
    for name in ("PIL.py", "struct.py", "json.py"):
        (tmp_path / name).write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    results = dict(decode_stream([(0, encode(0))]))
    assert isinstance(results[0], np.ndarray)
    assert not (tmp_path / "ran").exists()


def test_workers_are_counted_by_work_and_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(os, "sched_getaffinity"):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
        assert default_workers(10) == 1
        assert default_workers(100) == 4
        assert default_workers(10**6) == 32
    assert decode_pool.default_workers(0) == 1
