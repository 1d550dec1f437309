from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import fctfast

COMMANDS = ("demo", "poison", "detect", "score", "dbr", "dst", "evaluate", "report", "doctor")
Program = Callable[..., subprocess.CompletedProcess[str]]


def test_help_lists_every_command(invoke: Callable[..., Any]) -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(invoke: Callable[..., Any], command: str) -> None:
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"fctfast {command}" in result.stdout
    assert "--debug" in result.stdout


def test_help_answers_at_once_and_without_torch(program: Program) -> None:
    code = (
        "import sys, fctfast.cli.app; "
        "heavy = {'torch', 'numpy', 'matplotlib', 'pyarrow', 'PIL'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    seconds = []
    for _ in range(3):
        before = os.times()
        assert program("--help").returncode == 0
        after = os.times()
        # Of the processor, not of the clock: other tests run beside this one.
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
    assert 0.05 < min(seconds) < 1.5, "well under a second on an idle machine"


def test_version(program: Program) -> None:
    result = program("--version")
    assert (result.returncode, result.stdout) == (0, f"fctfast {fctfast.__version__}\n")


@pytest.mark.parametrize("arguments", [(), ("bogus",), ("poison",), ("poison", "--rate", "many")])
def test_wrong_usage_never_exits_zero(invoke: Callable[..., Any], arguments: tuple[str]) -> None:
    assert invoke(*arguments).exit_code == 2
