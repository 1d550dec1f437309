from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fctfast import attacks
from fctfast.data import open_dataset
from fctfast.models import ModelInfo, save_model
from fctfast.report import evaluate

Invoke = Callable[..., Any]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    info = ModelInfo(arch="resnet18", num_classes=10, width=4)
    save_model(path, info.build(seed=1).eval(), info)
    return path


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    made = attacks.poison(
        open_dataset("digits", limit=100), attacks.get("badnets-all2one"), target=3
    )
    made.recipe["source"] = "digits"
    attacks.save_poisoned(made, folder)
    return folder


def test_numbers_are_those_of_the_report_room(
    invoke: Invoke, checkpoint: Path, poisoned: Path, tmp_path: Path
) -> None:
    result = invoke(
        *("evaluate", "--checkpoint", checkpoint, "--poisoned", poisoned, "--out", tmp_path),
        *("--quiet", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    model = json.loads(result.stdout)["model"]
    assert json.loads((tmp_path / "metrics.json").read_text())["model"] == model
    info = ModelInfo(arch="resnet18", num_classes=10, width=4)
    expected = evaluate(
        info.build(seed=1),
        open_dataset("digits", split="test"),
        attacks.get("badnets-all2one"),
        3,
        mean=info.mean,
        std=info.std,
    )
    assert {name: model[name] for name in expected} == expected
    assert (model["attack"], model["target"]) == ("badnets-all2one", 3)


def test_an_attack_may_be_named_instead(invoke: Invoke, checkpoint: Path) -> None:
    usual = ("evaluate", "--checkpoint", checkpoint, "--data-dir", "digits", "--quiet")
    result = invoke(*usual, "--attack", "blend-signal", "--target", "7")
    assert result.exit_code == 0, result.stderr
    assert "against blend-signal" in result.stdout
    assert "ASR" in result.stdout
    clean = invoke(*usual)
    assert clean.exit_code == 0
    assert "ASR" not in clean.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected --checkpoint or --detection"),
        (("--detection", "x"), "needs the truth: give --poisoned"),
        (("--checkpoint", "none.safetensors", "--data-dir", "digits"), "none.safetensors"),
        (("--checkpoint", "CHECKPOINT"), "needs test data: give --data-dir"),
        (("--checkpoint", "CHECKPOINT", "--poisoned", "nowhere"), "fctfast poison"),
        (("--checkpoint", "CHECKPOINT", "--data-dir", "digits", "--attack", "x"), "expected one"),
    ],
)
def test_mistakes_exit_2_with_one_line(
    invoke: Invoke, checkpoint: Path, arguments: tuple[str, ...], message: str
) -> None:
    given = [str(checkpoint) if a == "CHECKPOINT" else a for a in arguments]
    result = invoke("evaluate", "--quiet", *given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_model_of_fewer_classes_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    info = ModelInfo(arch="resnet18", num_classes=4, width=4)
    save_model(tmp_path / "small.safetensors", info.build(), info)
    result = invoke(
        *("evaluate", "--checkpoint", tmp_path / "small.safetensors", "--data-dir", "digits", "-q")
    )
    assert result.exit_code == 2
    assert "10 classes but the model knows 4" in result.stderr
    assert torch.is_grad_enabled()
