"""Running commands: in this process where that is enough, as a program where it matters."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

Invoke = Callable[..., Any]


@pytest.fixture
def invoke() -> Invoke:
    """Run a command in this process; returns exit_code, stdout and stderr."""
    from fctfast.cli.app import app

    def run(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``python -m fctfast`` as a program of its own."""

    def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fctfast", *(str(argument) for argument in arguments)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=False, cwd=cwd
        )

    return run
