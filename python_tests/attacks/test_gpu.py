"""Attacks that need a network use the GPU where there is one; what they give lies on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from fctfast import attacks, models
from fctfast.attacks.cl import CL
from fctfast.attacks.pgd import pgd
from fctfast.data import ImageSet

pytestmark = pytest.mark.cuda
if not torch.cuda.is_available():
    pytest.skip("no GPU: where attacks make their noise", allow_module_level=True)

MEAN, STD = [0.5] * 3, [0.25] * 3


@pytest.fixture
def without_tf32() -> Iterator[None]:
    """Convolutions in float32: of random weights tf32 turns an eighth of the slopes round."""
    convolutions = torch.backends.cudnn.conv
    before, convolutions.fp32_precision = convolutions.fp32_precision, "ieee"
    yield
    convolutions.fp32_precision = before


@pytest.mark.usefixtures("without_tf32")
def test_noise_is_made_on_the_gpu(
    make_set: Callable[..., ImageSet], cache: Path, tmp_path: Path
) -> None:
    clean, file = make_set(40, classes=4), tmp_path / "clean.safetensors"
    info = models.ModelInfo("resnet18", num_classes=4, width=4, mean=MEAN, std=STD)
    models.save_model(file, info.build(seed=1), info)
    attack = attacks.get("cl", model=str(file)).prepared(clean, target=0, seed=0)
    assert isinstance(attack, CL)
    assert attack.ready is not None
    assert next(attack.ready.model.parameters()).is_cuda
    first = attack.apply(clean.images, train=True)
    assert first.device.type == "cpu"
    assert torch.equal(attack.apply(clean.images, train=True), first)
    how = {"mean": MEAN, "std": STD}
    here = pgd(info.build(seed=1), clean.images, clean.labels, **how)
    there = pgd(info.build(seed=1).cuda(), clean.images, clean.labels, **how)
    assert there.device.type == "cpu"
    # Signs of slopes that are nearly 0 may differ.
    assert float((here != there).double().mean()) < 0.05


def test_an_encoder_is_trained_on_the_gpu_to_the_same_bits(
    make_set: Callable[..., ImageSet], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clean, made = make_set(64, classes=4, size=(96, 80)), []
    for name in ("one", "two"):
        monkeypatch.setenv("FCTFAST_CACHE", str(tmp_path / name))
        poisoned = attacks.poison(clean, attacks.get("ssba"), rate=0.5)
        made.append(poisoned.image_set.images)
    assert made[0].device.type == "cpu"
    assert torch.equal(made[0], made[1])
