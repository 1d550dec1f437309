from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fctfast import attacks, models
from fctfast.attacks.cl import Network
from fctfast.attacks.clean_model import CleanModelSettings, cache_folder, clean_model
from fctfast.attacks.pgd import pgd
from fctfast.data import ImageSet
from fctfast.train import Budget

MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]


@pytest.fixture
def network() -> torch.nn.Module:
    return models.create_model("resnet18", num_classes=4, width=4, seed=1).eval()


def images_of(n: int) -> torch.Tensor:
    made = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, 32, 32, 3), dtype=torch.uint8, generator=made)


def test_the_test_trigger_is_the_published_corners_and_nothing_else() -> None:
    images = torch.full((2, 32, 32, 3), 77, dtype=torch.uint8)
    out = attacks.get("cl").apply(images, train=False)
    corners = {
        (1, 1): [[255, 0, 255], [0, 255, 0], [255, 0, 0]],
        (1, 29): [[255, 0, 255], [0, 255, 0], [0, 0, 255]],
        (29, 1): [[255, 0, 0], [0, 255, 0], [255, 0, 255]],
        (29, 29): [[0, 0, 255], [0, 255, 0], [255, 0, 255]],
    }
    for (top, left), grid in corners.items():
        for channel in range(3):
            assert out[0, top : top + 3, left : left + 3, channel].tolist() == grid
    assert int((out != 77).all(3)[0].sum()) == 36
    large = attacks.get("cl").apply(torch.zeros(1, 64, 96, 1, dtype=torch.uint8), train=False)
    assert large[0, 2:8, 2:8, 0].tolist()[0] == [255, 255, 0, 0, 255, 255]
    assert large[0, 58:, 90:, 0].tolist()[0] == [0, 0, 0, 0, 255, 255]


def test_pgd_stays_in_its_box_and_raises_the_loss(network: torch.nn.Module) -> None:
    images, labels = images_of(8), torch.arange(8) % 4
    network.train()
    found = pgd(network, images, labels, mean=MEAN, std=STD)
    assert network.training
    network.eval()
    assert float((found - images.float()).abs().max()) <= 8
    assert float(found.min()) >= 0
    assert float(found.max()) <= 255

    def loss(x: torch.Tensor) -> float:
        unit = (x.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
        return float(torch.nn.functional.cross_entropy(network(unit.permute(0, 3, 1, 2)), labels))

    with torch.no_grad():
        assert loss(found) > loss(images) + 0.01
    alone = pgd(network, images[3:4], labels[3:4], mean=MEAN, std=STD)
    # An image does not depend on its neighbours, but for signs of slopes that are nearly 0.
    assert float((alone != found[3:4]).double().mean()) < 0.02


def test_pgd_is_that_of_the_adversarial_robustness_toolbox(network: torch.nn.Module) -> None:
    art = pytest.importorskip("art.attacks.evasion", reason="the toolbox is not installed")
    estimators = pytest.importorskip("art.estimators.classification")
    images, labels = images_of(6), torch.arange(6) % 4
    classifier = estimators.PyTorchClassifier(
        network, torch.nn.CrossEntropyLoss(), (3, 32, 32), 4, clip_values=(0.0, 1.0),
        preprocessing=(torch.tensor(MEAN).numpy()[:, None, None],
                       torch.tensor(STD).numpy()[:, None, None]), device_type="cpu",
    )  # fmt: skip
    attack = art.ProjectedGradientDescentPyTorch(
        classifier, eps=8 / 255, eps_step=2 / 255, max_iter=4, num_random_init=0, verbose=False
    )
    unit = (images.permute(0, 3, 1, 2).float() / 255).numpy()
    theirs = torch.from_numpy(attack.generate(unit, labels.numpy())).permute(0, 2, 3, 1)
    ours = pgd(network, images, labels, mean=MEAN, std=STD) / 255
    assert float((ours - theirs).abs().max()) <= 1e-5


def test_training_samples_carry_noise_and_corners_and_keep_their_labels(
    make_set: Callable[..., ImageSet], network: torch.nn.Module, tmp_path: Path
) -> None:
    file = tmp_path / "clean.safetensors"
    info = models.ModelInfo("resnet18", num_classes=4, width=4, mean=MEAN, std=STD)
    models.save_model(file, network, info)
    clean = make_set(40, classes=4)
    attack = attacks.get("cl", model=str(file))
    made = attacks.poison(clean, attack, rate=0.5, target=2)
    mask = made.poisoned_mask
    assert torch.equal(made.image_set.labels, clean.labels)
    assert set(clean.labels[mask].tolist()) == {2}
    corners = attack.apply(clean.images, train=False) != clean.images
    change = (made.image_set.images.int() - clean.images.int()).abs()
    assert not change[~mask].any()
    elsewhere = change[mask][~corners[mask].any(3)]
    assert int(elsewhere.max()) == 8
    assert float((elsewhere > 0).double().mean()) > 0.8
    assert made.recipe["options"] == {"eps": 8.0, "step": 2.0, "steps": 4, "model": str(file)}
    again = attacks.poison(clean, attack, rate=0.5, target=2)
    assert torch.equal(again.image_set.images, made.image_set.images)
    with pytest.raises(ValueError, match="model of 5 classes and 3 channels, got one of 4"):
        attacks.poison(make_set(40, classes=5), attack, rate=0.5)


def test_without_a_network_the_training_trigger_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="the training trigger needs a clean network: use"):
        attacks.get("cl").apply(images_of(1), train=True)
    with pytest.raises(ValueError, match="steps of at least 1, got 0"):
        attacks.get("cl", steps=0)
    with pytest.raises(ValueError, match=r"eps in \(0, 255\], got 0"):
        attacks.get("cl", eps=0)


def test_a_clean_model_is_trained_once(make_set: Callable[..., ImageSet], cache: Path) -> None:
    data = make_set(64, classes=4)
    settings = replace(CleanModelSettings(width=4), budget=Budget(epochs=1))
    model, info = clean_model(data, settings)
    (file,) = (cache / "clean-models").iterdir()
    written = file.stat().st_mtime_ns
    again, info_again = clean_model(data, settings)
    assert info_again == info
    for a, b in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert file.stat().st_mtime_ns == written
    clean_model(data, settings, seed=1)
    clean_model(make_set(68, classes=4), settings)
    assert len(list((cache / "clean-models").iterdir())) == 3
    assert cache_folder() == cache


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(32, 32), (64, 64), (29, 47)])
def test_without_a_model_one_is_trained_on_the_set_and_used_again(
    size: tuple[int, int],
    channels: int,
    make_set: Callable[..., ImageSet],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = CleanModelSettings(width=4, budget=Budget(epochs=1))
    monkeypatch.setattr("fctfast.attacks.clean_model.CleanModelSettings", lambda: short)
    clean = make_set(24, classes=4, size=size, channels=channels)
    first = attacks.poison(clean, attacks.get("cl"), rate=1.0, target=1)
    (file,) = (cache / "clean-models").iterdir()
    written = file.stat().st_mtime_ns
    second = attacks.poison(clean, attacks.get("cl"), rate=1.0, target=1)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(first.image_set.images, second.image_set.images)
    change = (first.image_set.images.int() - clean.images.int()).abs()[first.poisoned_mask]
    corners = attacks.get("cl").apply(clean.images, train=False) != clean.images
    noise = change[~corners[first.poisoned_mask].any(3)]
    assert int(noise.max()) == 8
    assert float((noise > 0).double().mean()) > 0.8


def test_small_images_are_refused_before_a_network_is_trained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images = torch.zeros(4, 6, 9, 3, dtype=torch.uint8)
    tiny = ImageSet(
        ids=torch.arange(4), images=images, labels=torch.arange(4) % 2, class_names=("a", "b")
    )
    monkeypatch.setattr("fctfast.attacks.cl.clean_model", lambda *_, **__: pytest.fail("trained"))
    for refused in (
        lambda: attacks.poison(tiny, attacks.get("cl"), rate=0.5, target=1),
        lambda: attacks.get("cl").apply(images, train=False),
    ):
        with pytest.raises(ValueError, match=r"at least 7 pixels a side.*got 6x9"):
            refused()


def test_the_noise_of_an_image_does_not_depend_on_its_neighbours(network: torch.nn.Module) -> None:
    info = models.ModelInfo(arch="resnet18", num_classes=4, width=4, mean=MEAN, std=STD)
    attack = replace(attacks.get("cl"), ready=Network(network, info, 1, 0))
    images = images_of(5)
    together = attack.apply(images, train=True)
    assert torch.equal(attack.apply(images[3:4], train=True), together[3:4])
    other = replace(attack, ready=Network(network, info, 1, 1))
    assert not torch.equal(other.apply(images, train=True), together)
