"""Progress: plain lines with rates, bars on a terminal, silence."""

from __future__ import annotations

import io

import pytest

from fctfast.train import make_progress
from fctfast.train.progress import Bars, Lines, Quiet, duration


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_kind_follows_the_stream() -> None:
    assert isinstance(make_progress(quiet=True, stream=Terminal()), Quiet)
    assert isinstance(make_progress(stream=io.StringIO()), Lines)
    assert isinstance(make_progress(stream=Terminal()), Bars)


def test_lines_say_count_rate_time_left_and_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("fctfast.train.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    with Lines(stream, every=10).task("probe", 100, done=20) as task:
        for _ in range(6):
            now[0] += 4
            task.advance(10, loss=0.5)
    assert stream.getvalue().splitlines() == [
        # 30 steps in 12 s; 50 of 100 done
        "probe: 50/100, 2.5 step/s, 20 s left, loss 0.500",
        "probe: 80/100, 2.5 step/s, 8 s left, loss 0.500",
        "probe: 80/100, 2.5 step/s, took 24 s, loss 0.500",
    ]


def test_bars_draw_on_a_terminal() -> None:
    stream = Terminal()
    bars = Bars(stream)
    with bars.task("base", 4) as task:
        for _ in range(4):
            task.advance(1, loss=0.25)
        bars.note("half [way]")
    assert "base" in stream.getvalue()
    assert "4/4" in stream.getvalue()
    assert "loss 0.250" in stream.getvalue()
    assert "half [way]" in stream.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
@pytest.mark.parametrize("quiet", [True, False])
def test_iterables_pass_through(stream: io.StringIO, quiet: bool) -> None:
    progress = make_progress(quiet=quiet, stream=stream)
    assert list(progress(iter("abc"), 3, "loading")) == ["a", "b", "c"]


def test_quiet_says_nothing() -> None:
    stream = io.StringIO()
    progress = make_progress(quiet=True, stream=stream)
    with progress.task("x", 1) as task:
        task.advance()
    progress.note("x")
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (187, "3:07"), (3723, "1:02:03")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
