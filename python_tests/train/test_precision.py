"""Precision and device by name."""

from __future__ import annotations

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.models import create_model
from fctfast.train import (
    Budget,
    FitSettings,
    Stage,
    cross_entropy,
    fit,
    resolve_device,
    resolve_precision,
)
from fctfast.train.precision import (
    bfloat16_gradients_are_garbage,
    forward_context,
    preferred_memory_format,
    repeatable_kernels,
)

CPU = torch.device("cpu")


def test_words_are_taken_at_their_word() -> None:
    assert resolve_precision("float32", CPU) == "float32"
    assert resolve_precision("bfloat16", CPU) == "bfloat16"
    with pytest.raises(ValueError, match="expected auto, float32, bfloat16, got 'half'"):
        resolve_precision("half", CPU)


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx512_bf16": True}, "bfloat16"), ({"amx_bf16": True}, "bfloat16"), ({}, "float32")],
)
def test_auto_on_the_cpu_asks_for_the_instruction(
    capabilities: dict[str, bool], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert resolve_precision("auto", CPU) == expected


def test_auto_is_float32_on_a_torch_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert resolve_precision("auto", CPU) == "float32"


def test_bfloat16_changes_the_products_and_not_the_weights() -> None:
    layer = torch.nn.Linear(4, 4)
    with forward_context("bfloat16", CPU):
        assert layer(torch.zeros(1, 4)).dtype == torch.bfloat16
    with forward_context("float32", CPU):
        assert layer(torch.zeros(1, 4)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_devices() -> None:
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(ValueError, match="device: 'cuda:99' cannot be used here"):
        resolve_device("cuda:99")
    with pytest.raises(ValueError, match="device: 'gpu' cannot be used here"):
        resolve_device("gpu")


@pytest.mark.parametrize(("width", "expected"), [(8, "contiguous"), (16, "channels last")])
def test_narrow_strided_shortcuts_do_not_train_channels_last(width: int, expected: str) -> None:
    """In that layout oneDNN writes past its scratch memory; see the function."""
    network = create_model("resnet18", num_classes=10, width=width)
    layout = preferred_memory_format(CPU, network)
    assert (layout == torch.channels_last) == (expected == "channels last")
    assert preferred_memory_format(torch.device("cuda"), network) == torch.channels_last


def test_repeatable_kernels_give_the_flag_back() -> None:
    before = torch.backends.cudnn.deterministic
    with repeatable_kernels(torch.device("cuda")):
        assert torch.backends.cudnn.deterministic
    assert torch.backends.cudnn.deterministic == before
    with repeatable_kernels(CPU):
        assert torch.backends.cudnn.deterministic == before


@pytest.mark.parametrize(("side", "expected"), [(16, True), (17, False), (32, False)])
def test_strided_convolutions_of_single_pixels_are_found(side: int, expected: bool) -> None:
    network = create_model("resnet18", num_classes=10, width=4, stem="imagenet").train()
    network.fc.eval()
    assert bfloat16_gradients_are_garbage(network, (3, side, side)) is expected
    assert network.training
    assert not network.fc.training
    assert not any(m._forward_pre_hooks for m in network.modules())


def test_small_maps_train_in_float32_and_refuse_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    data = ImageSet(
        torch.arange(8),
        torch.zeros(8, 16, 16, 3, dtype=torch.uint8),
        torch.arange(8) % 2,
        ("a", "b"),
    )
    stage = Stage("base", data, cross_entropy, Budget(epochs=1))
    network = create_model("resnet18", num_classes=2, width=4, stem="imagenet")
    norm = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "device": "cpu"}
    dtypes = []
    network.fc.register_forward_hook(lambda m, i, out: dtypes.append(out.dtype))
    fit(network, stage, settings=FitSettings(batch_size=8), **norm)
    assert set(dtypes) == {torch.float32}
    with pytest.raises(ValueError, match="bfloat16 gives wrong gradients"):
        fit(network, stage, settings=FitSettings(batch_size=8, precision="bfloat16"), **norm)
