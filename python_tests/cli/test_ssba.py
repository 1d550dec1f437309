"""An attack whose test trigger needs a network, through the commands."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fctfast.attacks import stegastamp_training
from fctfast.models import ModelInfo, save_model

Invoke = Callable[..., Any]


@pytest.fixture(autouse=True)
def hardly_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FCTFAST_CACHE", str(tmp_path / "cache"))
    made = functools.partial(stegastamp_training.StampTraining, steps=1, batch_size=2)
    monkeypatch.setattr(stegastamp_training, "StampTraining", made)


def test_a_moved_set_is_evaluated_by_its_own_encoder(invoke: Invoke, tmp_path: Path) -> None:
    made = invoke(
        *("poison", "--data-dir", "digits", "--limit", 60, "--attack", "ssba", "--json"),
        *("--out", tmp_path / "p", "--preview", tmp_path / "look.png", "--png"),
    )
    assert made.exit_code == 0, made.stderr
    assert "encoder of 16 bits: 1/1" in made.stderr
    assert json.loads(made.stdout)["kept"]["model"]["file"] == "trigger.safetensors"
    moved = Path(shutil.move(tmp_path / "p", tmp_path / "moved"))
    shutil.rmtree(tmp_path / "cache")
    info = ModelInfo(arch="resnet18", num_classes=10, width=4)
    save_model(tmp_path / "model.safetensors", info.build(seed=1), info)
    usual = ("evaluate", "--checkpoint", tmp_path / "model.safetensors", "--quiet", "--json")
    first = invoke(*usual, "--poisoned", moved, "--limit", 50)
    assert first.exit_code == 0, first.stderr
    named = (*usual, "--data-dir", "digits", "--limit", 50, "--attack", "ssba")
    second = invoke(*named, "--option", f"model={moved / 'trigger.safetensors'}")
    assert second.exit_code == 0, second.stderr
    assert json.loads(second.stdout) == json.loads(first.stdout)
    alone = invoke(*named)
    assert alone.exit_code == 2
    assert "--poisoned FOLDER, or --option model=FILE" in alone.stderr
    without = invoke(*usual, "--poisoned", moved, "--option", "psnr=30")
    assert without.exit_code == 2
    assert "--option is of --attack, which is missing" in without.stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_the_demo_triggers_by_the_encoder_it_poisoned_with(
    invoke: Invoke, tiny: Path, tmp_path: Path
) -> None:
    how = ("demo", "--attack", "ssba", "--recipe", tiny, "--out", tmp_path / "demo", "--json")
    first = invoke(*how)
    assert first.exit_code == 0, first.stderr
    assert "encoder of 4 bits" in first.stderr
    again = invoke(*how, "--quiet")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout) == json.loads(first.stdout)
