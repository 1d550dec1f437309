"""Networks by name: seeds, unknown names, sizes that make no sense."""

from __future__ import annotations

import pytest
import torch

from fctfast.models import create_model, model_names, register


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    a, b, c = (
        create_model("resnet18", num_classes=10, width=8, seed=seed).state_dict()
        for seed in (3, 3, 4)
    )
    assert all(torch.equal(a[name], b[name]) for name in a)
    weights = [name for name in a if name.endswith("weight") and a[name].ndim > 1]
    assert weights
    assert not any(torch.equal(a[name], c[name]) for name in weights)


def test_global_generators_are_neither_read_nor_advanced() -> None:
    torch.manual_seed(1)
    first = create_model("resnet18", num_classes=10, width=8).state_dict()
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    second = create_model("resnet18", num_classes=10, width=8).state_dict()
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_new_model_is_in_training_mode_and_on_the_cpu() -> None:
    model = create_model("resnet34", num_classes=2, width=4)
    assert model.training
    assert {str(p.device) for p in model.parameters()} == {"cpu"}


def test_the_published_names_are_registered() -> None:
    assert {"resnet18", "resnet34", "resnet50"} <= set(model_names())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown model 'resnet19'.*resnet18.*torchvision:"):
        create_model("resnet19", num_classes=10)


def test_a_name_can_be_taken_once() -> None:
    with pytest.raises(ValueError, match="'resnet18' exists already"):
        register("resnet18")(lambda spec: torch.nn.Identity())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_classes": 0}, "num_classes: expected an int of at least 1, got 0"),
        ({"num_classes": 10, "width": 1.5}, "width: expected an int"),
        ({"num_classes": 10, "stem": "big"}, "stem: expected one of auto, small"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model("resnet18", **wrong)  # type: ignore[arg-type]
