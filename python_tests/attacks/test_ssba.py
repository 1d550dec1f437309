from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fctfast import attacks, models
from fctfast.attacks.ssba import SSBA, STAMP_FILE
from fctfast.attacks.stegastamp import (
    Stamp,
    StampInfo,
    StegaStamp,
    bits_for,
    load_stamp,
    psnr_for,
    resized,
    unit_range,
    working_size,
)
from fctfast.attacks.stegastamp_training import StampTraining, smoothness, trained_stamp
from fctfast.data import ImageSet, open_dataset

Pictures = Callable[..., ImageSet]
QUICK = StampTraining(steps=200, batch_size=16)


def psnr(images: Tensor, changed: Tensor) -> Tensor:
    """In decibels, [N]."""
    error = (changed.double() - images.double()).square().mean((1, 2, 3))
    return 10 * torch.log10(255**2 / error)


def bits_right(stamp: Stamp, images: Tensor, seed: int = 3) -> float:
    """Share of random secrets' bits that come back out of bytes."""
    random = torch.Generator().manual_seed(seed)
    secrets = torch.randint(0, 2, (len(images), len(stamp.secret)), generator=random).bool()
    return float((stamp.read(stamp.hide(images, secrets)) == secrets).double().mean())


def alike(change: Tensor) -> float:
    """Mean cosine between the changes of different images [N, ...]."""
    unit = F.normalize(change.double().flatten(1), dim=1)
    return float(((unit @ unit.T).sum() - len(unit)) / (len(unit) * (len(unit) - 1)))


@pytest.mark.parametrize(
    ("size", "working", "bits"),
    [
        ((32, 32), (32, 32), 16), ((64, 64), (64, 64), 64), ((28, 28), (32, 32), 12),
        ((128, 128), (64, 64), 100), ((224, 160), (64, 48), 100), ((29, 47), (32, 48), 21),
        ((8, 8), (8, 8), 4), ((1000, 20), (64, 8), 100),
    ],
)  # fmt: skip
def test_sizes_and_bits(size: tuple[int, int], working: tuple[int, int], bits: int) -> None:
    assert working_size(size) == working
    assert bits_for(size) == bits
    assert psnr_for(size) == (30 if max(size) <= 64 else 34)


def test_scaling_is_that_of_torch() -> None:
    images = torch.rand(2, 3, 40, 24)
    for size in ((16, 64), (40, 24), (80, 8)):
        theirs = F.interpolate(images, size=size, mode="bilinear", antialias=True)
        torch.testing.assert_close(resized(images, size), theirs)


def test_changes_are_seen_where_the_image_is_smooth() -> None:
    images = torch.zeros(1, 3, 16, 16)
    images[..., 8:] = (torch.arange(8) % 2).float()
    weight = smoothness(images)
    assert float(weight.mean()) == pytest.approx(1)
    assert float(weight[..., :5].min()) > 10 * float(weight[..., 11:].max())


@pytest.mark.parametrize(("channels", "size"), [(3, (16, 16)), (1, (16, 20))])
def test_hidden_bits_come_back_out_of_images_never_seen(
    pictures: Pictures, channels: int, size: tuple[int, int], cache: Path
) -> None:
    stamp = trained_stamp(pictures(200, size, channels), bits=4, psnr=30, settings=QUICK)
    images = pictures(100, size, channels, seed=1).images
    assert bits_right(stamp, images) >= 0.95
    assert stamp.measured["bits_right"] >= 0.95
    changed = stamp.hide(images)
    assert float((stamp.read(changed) == stamp.secret).double().mean()) >= 0.95
    assert float(psnr(images, changed).min()) >= 29.9


@pytest.mark.parametrize("decibels", [30, 40])
def test_the_change_is_as_strong_as_the_option_says(pictures: Pictures, decibels: float) -> None:
    info = StampInfo(bits=4, channels=3, image_size=(32, 32), psnr=decibels)
    net = StegaStamp(info).eval()
    images = pictures(8, (32, 32), 3).images // 2 + 64  # nothing to clip
    x = unit_range(images)
    with torch.no_grad():
        made = net.stamped(x, net.residual(x, torch.ones(8, 4))).permute(0, 2, 3, 1).double() * 255
    assert float((psnr(images, made) - decibels).abs().max()) < 0.01
    # What a change loses to bytes is its rounding alone.
    hidden = Stamp(net, torch.ones(4).bool()).hide(images)
    assert float((hidden - made).abs().max()) <= 0.501


def test_a_set_that_was_moved_triggers_its_test_images_by_the_same_encoder(
    make_set: Callable[..., ImageSet], hardly_trained: None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    clean, test = make_set(40, classes=4), make_set(12, classes=4)
    made = attacks.poison(clean, attacks.get("ssba"), rate=0.5, target=1, seed=2)
    mask = made.poisoned_mask
    assert made.attack is not None
    assert set(made.image_set.labels[mask].tolist()) == {1}
    assert 1 not in clean.labels[mask]
    assert torch.equal(
        made.image_set.images[mask], made.attack.apply(clean.images[mask], train=True)
    )
    assert torch.equal(made.image_set.images[~mask], clean.images[~mask])
    wanted = attacks.trigger_test_set(test, made.attack, 1)
    attacks.save_poisoned(made, tmp_path / "set")
    assert made.recipe["options"] == {"bits": None, "psnr": None, "model": None}

    moved = tmp_path / "elsewhere" / "moved"
    shutil.move(tmp_path / "set", moved)
    monkeypatch.setenv("FCTFAST_CACHE", str(tmp_path / "another machine"))
    recipe = attacks.read_recipe(moved)
    attack = attacks.recipe_attack(recipe, moved)
    found = attacks.trigger_test_set(test, attack, 1)
    assert torch.equal(found.image_set.images, wanted.image_set.images)
    by_hand = attacks.get("ssba", model=str(moved / STAMP_FILE))
    assert torch.equal(
        by_hand.apply(test.images, train=False), attack.apply(test.images, train=True)
    )
    assert open_dataset(moved).fingerprint() == made.image_set.fingerprint()

    with pytest.raises(ValueError, match=r"needs the encoder of a poisoned set"):
        attacks.recipe_attack(recipe).apply(test.images, train=False)
    other = attacks.poison(clean, attacks.get("ssba"), rate=0.5, target=1, seed=3)
    assert isinstance(other.attack, SSBA)
    other.attack.keep(moved)
    with pytest.raises(ValueError, match=r"trigger.safetensors is not the file of the recipe"):
        attacks.recipe_attack(recipe, moved)
    (moved / STAMP_FILE).unlink()
    with pytest.raises(FileNotFoundError, match=r"test trigger needs; copy the whole folder"):
        attacks.recipe_attack(recipe, moved)


def test_a_given_encoder_is_used_as_it_is(
    make_set: Callable[..., ImageSet], cache: Path, tmp_path: Path
) -> None:
    file = tmp_path / "mine.safetensors"
    network = StegaStamp(StampInfo(bits=5, channels=3, image_size=(32, 32), psnr=35)).eval()
    stamp = Stamp(network, torch.tensor([1, 0, 0, 1, 1]).bool())
    stamp.save(file)
    clean = make_set(20, classes=4)
    made = attacks.poison(clean, attacks.get("ssba", model=str(file)), rate=1.0)
    mask = made.poisoned_mask
    assert torch.equal(made.image_set.images[mask], stamp.hide(clean.images[mask]))
    assert made.recipe["options"]["model"] == str(file)
    assert not cache.exists()
    assert load_stamp(file).network.info == network.info
    with pytest.raises(ValueError, match="hides 5 bits, but the option bits is 6"):
        attacks.get("ssba", model=str(file), bits=6)
    with pytest.raises(ValueError, match="hides at 35 dB, but the option psnr is 30; leave it"):
        attacks.get("ssba", model=str(file), psnr=30)
    assert attacks.get("ssba", model=str(file), psnr=35).options()["psnr"] == 35
    for n, size, channels in ((2, (40, 32), 3), (2, (32, 32), 1)):
        images = make_set(n, size=size, channels=channels).images
        got = f"{size[0]}x{size[1]}x{channels}"
        with pytest.raises(ValueError, match=f"trained on images of 32x32x3, got {got}"):
            attacks.get("ssba", model=str(file)).apply(images, train=False)
    empty = attacks.get("ssba", model=str(file)).apply(clean.images[:0], train=False)
    assert empty.shape == (0, 32, 32, 3)


def test_mistakes_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bits of 1 to 1000, got 0"):
        attacks.get("ssba", bits=0)
    with pytest.raises(ValueError, match="psnr of 20 to 45 dB, got 60"):
        attacks.get("ssba", psnr=60)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        attacks.get("ssba", model=str(tmp_path / "nowhere.safetensors"))
    info = models.ModelInfo("resnet18", num_classes=4, width=4)
    models.save_model(tmp_path / "classifier.safetensors", info.build(), info)
    with pytest.raises(ValueError, match="expected an encoder of ssba"):
        attacks.get("ssba", model=str(tmp_path / "classifier.safetensors"))
    with pytest.raises(ValueError, match=r"needs the encoder.*--option model=FILE"):
        attacks.get("ssba").apply(torch.zeros(1, 32, 32, 3, dtype=torch.uint8), train=False)


@pytest.mark.slow
def test_cifar_images_hide_16_bits_that_come_back(shared_data: Path, cache: Path) -> None:
    """The bars: PSNR of 28 dB, 95 % of the bits, in images never seen and changes of their own."""
    source = shared_data / "cifar10.zip"
    train = open_dataset(source, limit=5000, workers=1)
    images = open_dataset(source, split="test", limit=500, workers=1).images
    stamp = trained_stamp(train, bits=16, psnr=30)
    changed = stamp.hide(images)
    assert float(psnr(images, changed).min()) >= 28
    assert bits_right(stamp, images) >= 0.95
    assert float((stamp.read(changed) == stamp.secret).double().mean()) >= 0.95
    assert alike(changed.int() - images.int()) <= 0.6
