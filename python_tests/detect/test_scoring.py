"""Facts about scoring with the user's own model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.detect import Scores, fct, score
from fctfast.models import ModelInfo, create_model, save_model

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    info = ModelInfo(arch="resnet18", num_classes=3, width=4, image_size=(8, 8), mean=MEAN, std=STD)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    save_model(path, info.build(seed=1), info)
    return path


def test_a_checkpoint_brings_its_own_normalisation(small_set: ImageSet, checkpoint: Path) -> None:
    scores = score(small_set, model=checkpoint, draws=2, device="cpu")
    model = create_model("resnet18", num_classes=3, width=4, image_size=8, seed=1)
    expected = fct(model.to(memory_format=torch.channels_last), small_set, mean=MEAN, std=STD).fct[
        :2
    ]
    torch.testing.assert_close(scores.fct, expected.double().mean(0), rtol=1e-4, atol=0)
    assert scores.settings["mean"] == list(MEAN)
    assert torch.equal(scores.ids, small_set.ids)


def test_the_callers_normalisation_goes_first_and_the_datas_last(
    small_set: ImageSet, checkpoint: Path
) -> None:
    other = score(small_set, model=checkpoint, mean=(0, 0, 0), std=(1, 1, 1), draws=1)
    assert other.settings["mean"] == [0.0, 0.0, 0.0]
    model = create_model("resnet18", num_classes=3, width=4)
    measured = score(small_set, model=model, draws=1).settings["mean"]
    torch.testing.assert_close(
        torch.tensor(measured), small_set.images.double().mean((0, 1, 2)).float() / 255
    )


def test_the_same_seed_gives_the_same_bits_in_any_order(
    small_set: ImageSet, checkpoint: Path, tmp_path: Path
) -> None:
    first = score(small_set, model=checkpoint, seed=4, out=tmp_path / "s.parquet")
    assert torch.equal(first.fct, score(small_set, model=checkpoint, seed=4).fct)
    assert torch.equal(Scores.load(tmp_path / "s.parquet").fct, first.fct)
    order = torch.randperm(len(small_set), generator=torch.Generator().manual_seed(0))
    moved = score(small_set.select(order), model=checkpoint, seed=4, batch_size=33)
    # Another batch size and order change a network's output in the last bits only, which a GPU's
    # convolutions, in tf32, have fewer of.
    rtol = 1e-2 if torch.cuda.is_available() else 1e-4
    torch.testing.assert_close(moved.fct, first.fct[order], rtol=rtol, atol=0)


def test_any_module_and_any_map_style_dataset(small_set: ImageSet) -> None:
    class Rows:
        def __len__(self) -> int:
            return 40

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return small_set[i]

    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3))
    scores = score(Rows(), model=model, draws=1)
    assert len(scores) == 40
    assert bool((scores.fct > 0).all())


def test_what_cannot_be_scored_is_a_clear_error(small_set: ImageSet, checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="pass feature_layer"):
        score(small_set, model=nn.Sequential(nn.Conv2d(3, 4, 1)))
    with pytest.raises(ValueError, match="both or neither"):
        score(small_set, model=checkpoint, mean=MEAN)
    with pytest.raises(ValueError, match="expected 3 values"):
        score(small_set, model=checkpoint, mean=(0.5,), std=(0.5,))
    with pytest.raises(ValueError, match="no readable sample"):
        score(small_set.select(torch.zeros(0, dtype=torch.int64)), model=checkpoint)
    with pytest.raises(ValueError, match="8x8 pixels but"):
        score(small_set, model=checkpoint, image_size=32)
    broken = create_model("resnet18", num_classes=3, width=4)
    nn.init.constant_(broken.conv1.weight, float("nan"))
    with pytest.raises(ValueError, match="not finite"):
        score(small_set, model=broken)


class Features(nn.Module):
    """Features of a fixed kind, and a classifier that always says class 1."""

    def __init__(self, scale: torch.Tensor, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def features(self, x: torch.Tensor) -> torch.Tensor:
        # `scale` is a factor for images whose first pixel is at most average, and one for the rest.
        dark = (x[:, 0, 0, 0] < 0)[:, None]
        return x.flatten(1) * torch.where(dark, self.scale[0], self.scale[1]) + self.shift

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        return torch.eye(3)[1].expand(len(features), -1)


@pytest.mark.parametrize(
    ("scale", "shift", "message"),
    [
        ((0.0, 0.0), 1.0, r"collapsed \(every sample has the same score\)"),
        ((0.0, 0.0), 0.0, "100% of the samples have zero features"),
        ((0.0, 1.0), 0.0, "of the samples have zero features"),
    ],
)
def test_features_that_collapsed_are_an_error(
    small_set: ImageSet, tmp_path: Path, scale: tuple[float, float], shift: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        score(small_set, model=Features(torch.tensor(scale), shift), out=tmp_path / "s.parquet")
    assert not (tmp_path / "s.parquet").exists()


def test_wrong_predictions_and_a_single_image_are_no_collapse(small_set: ImageSet) -> None:
    model = Features(torch.ones(2), 1.0)
    poor = small_set.select(small_set.labels != 1)
    health = score(poor, model=model).settings["health"]
    assert health["training_accuracy"] == 0.0
    assert health["reasons"] == ["training accuracy 0.000 is no better than chance"]
    assert len(score(small_set.select(torch.arange(1)), model=model)) == 1


def test_a_corrupt_checkpoint_is_a_clear_error(small_set: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "bad.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(ValueError, match=r"bad\.safetensors"):
        score(small_set, model=tmp_path / "bad.safetensors")
    with pytest.raises(FileNotFoundError):
        score(small_set, model=tmp_path / "none.safetensors")
