"""Progress goes to stderr, on a terminal only, and changes nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest

from fctfast.data import no_progress, terminal_progress

SCRIPT = """
from fctfast.data import terminal_progress
print(list(terminal_progress(iter(range(5)), 5, "counting")))
"""


def test_a_bar_on_a_terminal_is_on_stderr_alone() -> None:
    parent, child = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        stdout=subprocess.PIPE,
        stderr=child,
        env=environment,
        check=True,
    )
    os.close(child)
    shown = os.read(parent, 1 << 16).decode()
    os.close(parent)
    assert ended.stdout == b"[0, 1, 2, 3, 4]\n"
    assert "counting" in shown
    assert "5/5" in shown


def test_nothing_is_shown_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(terminal_progress(range(3), 3, "x")) == [0, 1, 2]
    assert list(no_progress(range(3), 3, "x")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
