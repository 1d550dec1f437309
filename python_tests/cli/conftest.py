"""Running commands: in this process where that is enough, as a program where it matters."""

from __future__ import annotations

import json
import shutil
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


RECIPE = """
description: a few seconds on digits of 16x16
data: {image_size: 16, limit: 300}
model: {name: resnet18, width: 4}
probe:
  learn: {epochs: 4}
  spread: {epochs: 0}
  fit: {batch_size: 32, sgd: {lr: 0.1}}
split: {draws: 2, alpha_c: 0.2, alpha_p: 0.05}
base:
  budget: {epochs: 3}
  fit: {batch_size: 32, sgd: {lr: 0.1}}
br: {budget: {epochs: 2}, fit: {batch_size: 32, sgd: {lr: 1.0e-3}}}
extractor: {budget: {epochs: 1}, fit: {batch_size: 32, sgd: {lr: 0.1}}}
classifier: {budget: {epochs: 2}, fit: {batch_size: 32, sgd: {lr: 0.1}}}
"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that runs in seconds and still learns."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 digits of 16x16, 10 % poisoned; copy the folder before changing it."""
    from fctfast import attacks
    from fctfast.data import open_dataset

    folder = tmp_path_factory.mktemp("poisoned")
    clean = open_dataset("digits", limit=300, image_size=16)
    made = attacks.poison(clean, attacks.get("badnets-all2one"), rate=0.1, target=0, seed=1)
    made.recipe["source"] = "digits"
    attacks.save_poisoned(made, folder)
    return folder


@pytest.fixture(scope="session")
def audited(
    poisoned: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A copy of the set, audited once in its presence of a true truth: (set, run folder)."""
    from fctfast.cli.app import app

    base = tmp_path_factory.mktemp("audit")
    shutil.copytree(poisoned, base / "set")
    command = ["detect", "--data-dir", str(base / "set"), "--recipe", str(tiny), "--quiet"]
    result = CliRunner().invoke(app, [*command, "--out", str(base / "run"), "--json"])
    assert result.exit_code == 0, result.stderr
    assert result.stderr == ""
    assert json.loads(result.stdout) == {
        "recipe": "tiny",
        **json.loads((base / "run" / "metrics.json").read_text()),
    }
    return base / "set", base / "run"
