from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from fctfast import io
from fctfast.detect import Scores
from fctfast.models import ModelInfo, create_model, save_model

Invoke = Callable[..., Any]
DATA = ("--data-dir", "digits", "--limit", 100, "--quiet")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    info = ModelInfo(arch="resnet18", num_classes=10, width=4, mean=(0.3,) * 3, std=(0.4,) * 3)
    save_model(path, info.build(seed=1), info)
    return path


def test_scores_split_and_pictures_are_written(
    invoke: Invoke, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = invoke(
        *("score", *DATA, "--checkpoint", checkpoint, "--out", out, "--draws", 2, "--json")
    )
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["scored"] == 100
    assert (answer["split"]["clean"], answer["split"]["poisoned"]) == (20, 5)
    assert answer["settings"]["mean"] == [0.3] * 3, "the checkpoint's own normalisation"
    assert json.loads((out / "metrics.json").read_text()) == answer
    scores = Scores.load(out / "scores.parquet")
    assert len(scores) == 100
    assert scores.split(0.2, 0.05).gamma_p == answer["split"]["gamma_p"]
    for name in ("histogram.png", "suspicious.csv", "suspicious.png"):
        assert (out / name).stat().st_size > 0


def test_the_same_seed_gives_the_same_table(
    invoke: Invoke, checkpoint: Path, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        invoke("score", *DATA, "--checkpoint", checkpoint, "--out", tmp_path / name)
    tables = [(tmp_path / name / "scores.parquet").read_bytes() for name in ("a", "b")]
    assert tables[0] == tables[1]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, for the default of --out."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "runs" / "score-digits"


def test_the_run_says_what_decided_the_scores(
    invoke: Invoke, checkpoint: Path, elsewhere: Path
) -> None:
    first = invoke("score", *DATA, "--checkpoint", checkpoint, "--json")
    assert first.exit_code == 0, first.stderr
    record = io.read_json(elsewhere / "run.json")
    assert (record["command"], record["status"], record["seed"]) == ("score", "done", 0)
    settings = record["settings"]
    assert settings["checkpoint"] == io.sha256_file(checkpoint)
    assert (settings["model"], settings["alpha_c"], settings["alpha_p"]) == ("resnet18", 0.2, 0.05)
    assert (settings["mean"], settings["std"]) == ([0.3] * 3, [0.4] * 3)
    assert settings["config"]["draws"] == 4
    table = (elsewhere / "scores.parquet").read_bytes()
    again = invoke("score", *DATA, "--checkpoint", checkpoint, "--json")
    assert again.exit_code == 0, again.stderr
    assert again.stdout == first.stdout
    assert (elsewhere / "scores.parquet").read_bytes() == table


def test_the_scores_of_another_model_are_not_overwritten(
    invoke: Invoke, checkpoint: Path, elsewhere: Path, tmp_path: Path
) -> None:
    assert invoke("score", *DATA, "--checkpoint", checkpoint).exit_code == 0
    table = (elsewhere / "scores.parquet").read_bytes()
    info = ModelInfo(arch="resnet18", num_classes=10, width=4, mean=(0.3,) * 3, std=(0.4,) * 3)
    save_model(tmp_path / "other.safetensors", info.build(seed=2), info)
    changes = (
        ("checkpoint", ("--checkpoint", tmp_path / "other.safetensors")),
        ("draws", ("--draws", 3)),
        ("alpha_p", ("--alpha-p", 0.1)),
        ("transform", ("--transform", "rotate")),
    )
    for key, change in changes:
        result = invoke("score", *DATA, "--checkpoint", checkpoint, *change)
        assert result.exit_code == 2
        assert "holds a run with other settings" in result.stderr
        assert key in result.stderr
        assert "another folder for a new run" in result.stderr
    assert (elsewhere / "scores.parquet").read_bytes() == table


def test_weights_alone_need_the_name_of_the_network(invoke: Invoke, tmp_path: Path) -> None:
    weights = tmp_path / "weights.safetensors"
    network = create_model("torchvision:resnet18", num_classes=10)
    module = getattr(network, "module", network)
    safetensors.torch.save_file(module.state_dict(), weights)
    usual = ("score", "--data-dir", "digits", "--limit", 20, "--quiet", "--checkpoint", weights)
    result = invoke(*usual, "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "--model" in result.stderr
    named = ("--model", "torchvision:resnet18", "--mean", "0.5,0.5,0.5", "--std", "0.2,0.2,0.2")
    result = invoke(*usual, *named, "--draws", 1, "--out", tmp_path / "run", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["settings"]["std"] == [0.2] * 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--alpha-c", "0.7", "--alpha-p", "0.4"), "must not exceed 1"),
        (("--alpha-p", "0.001"), "less than one sample"),
        (("--mean", "0.5", "--std", "0.5"), "expected 3 values"),
        (("--feature-layer", "nowhere"), "no layer 'nowhere'"),
        (("--device", "tpu7"), "device"),
        (("--mean", "0.5"), "--mean and --std: expected both or neither"),
        (("--mean", "a,b", "--std", "1"), "--mean: expected numbers separated by commas"),
        (("--checkpoint", "none.safetensors"), "none.safetensors"),
        (("--transform", "spin"), "expected one of rotate, affine, flip"),
        (("--model", "resnet18"), "do not fit"),
    ],
)
def test_mistakes_exit_2_without_a_traceback(
    invoke: Invoke, checkpoint: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    usual = ("score", *DATA, "--checkpoint", checkpoint, "--out", tmp_path / "run")
    result = invoke(*usual, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_is_explained(
    invoke: Invoke, checkpoint: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(checkpoint.read_bytes()[:-50])
    result = invoke("score", *DATA, "--checkpoint", broken, "--out", tmp_path)
    assert result.exit_code == 2
    assert "broken.safetensors" in result.stderr


def test_a_pickle_that_runs_code_is_refused(invoke: Invoke, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.pth")
    result = invoke(
        *("score", *DATA, "--checkpoint", tmp_path / "evil.pth", "--model", "resnet18"),
        *("--out", tmp_path / "run"),
    )
    assert result.exit_code == 2
    assert not (tmp_path / "executed").exists()
