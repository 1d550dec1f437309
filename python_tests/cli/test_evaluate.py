from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

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
    assert json.loads((tmp_path / "evaluation.json").read_text())["model"] == model
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


def test_a_picture_may_be_the_trigger(invoke: Invoke, checkpoint: Path, tmp_path: Path) -> None:
    picture = tmp_path / "red.png"
    Image.new("RGB", (20, 20), (255, 0, 0)).save(picture)
    usual = ("evaluate", "--checkpoint", checkpoint, "--data-dir", "digits", "--quiet", "--json")
    named = ("--attack", "blend-kitty")
    short = invoke(*usual, *named, "--trigger-image", picture)
    long = invoke(*usual, *named, "--option", f"image={picture}")
    assert short.exit_code == 0, short.stderr
    assert short.stdout == long.stdout
    refused = invoke(*usual, "--trigger-image", picture)
    assert refused.exit_code == 2
    assert "--trigger-image is of --attack, which is missing" in refused.stderr


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


NAMES = ("ant", "bee", "cat")


def colours(root: Path, names: Sequence[str]) -> Path:
    """A test split with one folder a class, in the class's own colour."""
    from PIL import Image

    for number, name in enumerate(NAMES):
        if name in names:
            (root / name).mkdir(parents=True)
            for i in range(4):
                image = Image.new("RGB", (8, 8), (100 * number, 20 * i, 0))
                image.save(root / name / f"{i}.png")
    return root


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """A checkpoint of ant, bee and cat that calls everything a cat."""
    info = ModelInfo(arch="resnet18", num_classes=3, width=4, image_size=(8, 8), class_names=NAMES)
    model = info.build()
    with torch.no_grad():
        model.fc.weight.zero_()
        model.fc.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
    save_model(tmp_path / "named.safetensors", model, info)
    return tmp_path / "named.safetensors"


def test_a_test_folder_that_lacks_a_class_keeps_the_numbers_of_the_model(
    invoke: Invoke, named: Path, tmp_path: Path
) -> None:
    """In the folder alone cat is class 1; for the model it is class 2."""
    data = colours(tmp_path / "test", ("ant", "cat"))
    command = ("evaluate", "--checkpoint", named, "--data-dir", data, "--split", "train", "-q")
    result = invoke(*command, "--attack", "badnets-all2one", "--target", "cat", "--json")
    assert result.exit_code == 0, result.stderr
    model = json.loads(result.stdout)["model"]
    assert (model["acc"], model["target"], model["asr"]) == (0.5, 2, 1.0)
    assert model["triggered_samples"] == 4


def test_classes_of_other_names_are_refused(invoke: Invoke, named: Path, tmp_path: Path) -> None:
    data = colours(tmp_path / "test", NAMES)
    (data / "bee").rename(data / "bumblebee")
    result = invoke(
        *("evaluate", "--checkpoint", named, "--data-dir", data, "--split", "train", "-q")
    )
    assert result.exit_code == 2
    assert "class 1 of the test data is 'bumblebee'" in result.stderr
    assert "its class 1 is 'bee'" in result.stderr
    assert "rename" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("who", ["model", "data"])
def test_classes_without_names_go_by_number(
    invoke: Invoke, named: Path, tmp_path: Path, who: str
) -> None:
    arrays = {
        "images": np.zeros((6, 8, 8, 3), dtype=np.uint8),
        "labels": np.array([0, 0, 1, 1, 2, 2], dtype=np.int64),
    }
    if who == "model":
        arrays["class_names"] = np.array(NAMES)
        info = ModelInfo(
            arch="resnet18", num_classes=3, width=4, image_size=(8, 8), class_names=("0", "1", "2")
        )
        save_model(named, info.build(), info)
    np.savez(tmp_path / "test.npz", **arrays)
    result = invoke(
        *("evaluate", "--checkpoint", named, "--data-dir", tmp_path / "test.npz", "-q", "--json"),
        *("--split", "train"),
    )
    assert result.exit_code == 0, result.stderr
    if who == "data":
        assert json.loads(result.stdout)["model"]["acc"] == pytest.approx(1 / 3)


def test_a_poisoned_set_finds_its_source_from_another_folder(
    invoke: Invoke, named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split in ("train", "test"):
        colours(tmp_path / "here" / "set" / split, NAMES)
    monkeypatch.chdir(tmp_path / "here")
    made = invoke("poison", "--data-dir", "set", "--out", tmp_path / "p", "--rate", 0.5, "-q")
    assert made.exit_code == 0, made.stderr
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    result = invoke("evaluate", "--checkpoint", named, "--poisoned", tmp_path / "p", "-q", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["model"]["test_samples"] == 12


def test_the_test_images_have_the_size_of_the_poisoned_ones(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    network = ModelInfo(arch="plain8", num_classes=10)
    save_model(tmp_path / "weights.safetensors", network.build(seed=1).eval(), network)

    def measured(model: Any, test: Any, *others: Any, **how: Any) -> Any:
        sizes.append(test.image_size)
        return evaluate(model, test, *others, **how)

    monkeypatch.setattr("fctfast.report.evaluate", measured)
    out = tmp_path / "p"
    usual = ("--data-dir", "digits", "--limit", 100, "--image-size", 16, "--out", out, "-q")
    assert invoke("poison", *usual).exit_code == 0
    named = ("--model", "plain8")  # bare weights do not say for which size they are
    asked = ("evaluate", "--checkpoint", tmp_path / "weights.safetensors", *named)
    for options in ((), ("--image-size", 12)):
        result = invoke(*asked, "--poisoned", out, "-q", *options)
        assert result.exit_code == 0, result.stderr
    assert sizes == [(16, 16), (12, 12)]
