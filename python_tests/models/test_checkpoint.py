"""Checkpoints that describe themselves, and clear words about those that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.models import (
    ModelInfo,
    as_feature_model,
    create_model,
    load_model,
    load_weights,
    save_model,
)

INFO = ModelInfo(
    arch="resnet18",
    num_classes=3,
    width=4,
    image_size=(32, 48),
    mean=(0.1, 0.2, 0.3),
    std=(0.4, 0.5, 0.6),
    class_names=("cat", "dog", "Übung"),
)


def _used_model() -> nn.Module:
    model = INFO.build(seed=7)
    model(torch.randn(8, 3, 32, 48))  # moves the batch-norm statistics
    return model.eval()


def test_a_saved_model_comes_back_with_its_description(tmp_path: Path) -> None:
    model, path = _used_model(), tmp_path / "model.safetensors"
    save_model(path, model, INFO)
    again, info = load_model(path)
    assert info == INFO
    assert not again.training
    assert model.state_dict().keys() == again.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_channels_last_weights_are_stored_by_value(tmp_path: Path) -> None:
    model = _used_model()
    save_model(tmp_path / "a", model, INFO)
    model.to(memory_format=torch.channels_last)
    save_model(tmp_path / "b", model, INFO)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_network_of_the_users_own_is_filled_not_built(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    info = ModelInfo(arch="custom", num_classes=2)
    path = tmp_path / "own.safetensors"
    save_model(path, as_feature_model(net), info)
    with pytest.raises(ValueError, match=r"load_model\(path, model=network\)"):
        load_model(path)
    other = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    load_model(path, model=other)
    assert torch.equal(other[1].weight, net[1].weight)


@pytest.mark.parametrize("cut", [0, 5, 100, -1])
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, _used_model(), INFO)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_model(path)


def test_a_file_without_a_description_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    io.write_tensors(path, _used_model().state_dict(), {})
    with pytest.raises(ValueError, match=r"got none.*load_weights\(path, model\)"):
        load_model(path)
    model = INFO.build(seed=0)
    load_weights(path, model)
    assert torch.equal(model.fc.weight, _used_model().fc.weight)


def test_a_damaged_description_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "m"
    for text in ("{", '{"arch": "resnet18"}', '{"arch":"resnet18","num_classes":3,"mean":[1]}'):
        io.write_tensors(path, {}, {"format": "fctfast-model-1", "info": text})
        with pytest.raises(ValueError, match="description of the network is damaged"):
            load_model(path)


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "nothing.safetensors")
    with pytest.raises(FileNotFoundError):
        load_weights(tmp_path / "nothing.pth", _used_model())


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    path = tmp_path / "wide.safetensors"
    save_model(path, create_model("resnet18", num_classes=3, width=8), INFO)
    with pytest.raises(ValueError, match=r"do not fit ResNet.*of another shape.*check the arch"):
        load_model(path)
    io.write_tensors(path, {"x": torch.zeros(1)}, {})
    with pytest.raises(ValueError, match=r"missing in the file.*1 unknown to the network: x"):
        load_weights(path, _used_model())


def _wrapped(state: dict[str, Tensor], key: str | None, prefix: str) -> dict[str, object]:
    named: dict[str, object] = {prefix + name: tensor for name, tensor in state.items()}
    return {key: named, "epoch": 3} if key else named


@pytest.mark.parametrize("key", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pth_files_are_read_as_weights_only(tmp_path: Path, key: str | None, prefix: str) -> None:
    source = _used_model()
    path = tmp_path / "theirs.pth"
    torch.save(_wrapped(source.state_dict(), key, prefix), path)
    model = load_weights(path, INFO.build(seed=1))
    assert torch.equal(model.fc.weight, source.fc.weight)


def test_a_pth_that_holds_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return Path.touch, (witness,)

    path = tmp_path / "evil.pth"
    torch.save({"state_dict": Evil()}, path)
    with pytest.raises(ValueError, match="not readable as weights only"):
        load_weights(path, _used_model())
    assert not witness.exists()


def test_a_pth_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.pth"
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match=r"expected a dictionary of named tensors.*got list"):
        load_weights(path, _used_model())


def test_the_description_is_checked() -> None:
    with pytest.raises(ValueError, match="expected 1 values in mean"):
        ModelInfo(arch="resnet18", num_classes=2, in_channels=1)
    with pytest.raises(ValueError, match="expected 2 class names, got 1"):
        ModelInfo(arch="resnet18", num_classes=2, class_names=("a",))
