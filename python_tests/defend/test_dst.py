"""Facts about D-ST as a whole: repeatable, resumable, stages that do what they say."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.defend import (
    DST,
    ClassifierSettings,
    DBRConfig,
    DSTConfig,
    ExtractorSettings,
    Secured,
    train_classifier,
    train_extractor,
)
from fctfast.defend.classifier import Frozen, classifier_parameters
from fctfast.defend.extractor import groups_of
from fctfast.models import create_model, load_model
from fctfast.train import Budget, FitSettings, SGDSettings, ViewSettings
from fctfast.train.recipes import ModelSettings

QUICK = FitSettings(batch_size=30, sgd=SGDSettings(lr=0.02))
NUMBERS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}


def weights(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x.cpu(), y.cpu()) for x, y in zip(weights(a), weights(b), strict=True))


@pytest.fixture(scope="module")
def secure(config: DBRConfig) -> DSTConfig:
    """D-BR's small audit, two passes of each stage."""
    return DSTConfig(
        detect=config.detect,
        extractor=ExtractorSettings(
            network=ModelSettings(width=4), projection=8, budget=Budget(epochs=2), fit=QUICK
        ),
        classifier=ClassifierSettings(budget=Budget(epochs=2), fit=QUICK),
    )


@pytest.fixture(scope="module")
def finished(
    small_set: ImageSet, secure: DSTConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Secured, Path]:
    out = tmp_path_factory.mktemp("dst")
    return DST(secure).run(small_set, out=out, seed=2), out


def test_the_same_seed_gives_the_same_weights_without_a_folder_too(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path]
) -> None:
    again = DST(secure).run(small_set, seed=2)
    assert same(again.model, finished[0].model)
    assert again.paths == {}
    # An earlier detection takes the place of one of its own.
    given = DST(secure).run(small_set, detection=finished[1] / "detect", seed=2)
    assert same(given.model, finished[0].model)


def test_what_is_written_loads(finished: tuple[Secured, Path]) -> None:
    secured, out = finished
    model, info = load_model(out / "secure.safetensors")
    assert same(model, secured.model)
    assert info == secured.info
    written = io.read_json(out / "secure.json")
    assert written["format"] == "fctfast-secure-1"
    assert [r["stage"] for r in written["history"]["extractor"]] == ["ss-ctl"] * 2
    assert [r["accuracy"] for r in written["history"]["extractor"]] == [None] * 2
    assert all(0 <= r["accuracy"] <= 1 for r in written["history"]["classifier"])


def test_a_kill_in_the_middle_changes_nothing(
    small_set: ImageSet,
    secure: DSTConfig,
    finished: tuple[Secured, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    module = sys.modules["fctfast.train.fit"]  # the package's name `fit` is the function
    saved = module.save_state
    for stage in ("extractor-state", "classifier-state"):

        def save_and_die(path: Path, *rest: object, stage: str = stage) -> None:
            saved(path, *rest)
            if path.stem == stage:
                raise Killed

        monkeypatch.setattr(module, "save_state", save_and_die)
        with pytest.raises(Killed):
            DST(secure).run(small_set, out=tmp_path, seed=2)
    monkeypatch.setattr(module, "save_state", saved)
    assert not (tmp_path / "secure.json").exists()
    resumed = DST(secure).run(small_set, out=tmp_path, seed=2)
    assert same(resumed.model, finished[0].model)
    assert [r["stage"] for r in resumed.history["extractor"]] == ["ss-ctl"] * 2


def test_another_setting_does_not_go_on_with_the_old_state(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path], tmp_path: Path
) -> None:
    del finished
    DST(secure).run(small_set, out=tmp_path, seed=2)
    for section, key, value in (
        ("extractor", "temperature", 0.5),
        ("extractor", "learning", "s-ctl"),
        ("classifier", "lambda_p", 0.5),
    ):
        changed = replace(secure, **{section: replace(getattr(secure, section), **{key: value})})
        with pytest.raises(ValueError, match=r"other settings|belongs to a run"):
            DST(changed).run(small_set, out=tmp_path, seed=2)


def test_another_d_c_does_not_go_on_with_the_old_state(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path], tmp_path: Path
) -> None:
    detection = finished[0].detection
    assert detection is not None
    DST(secure).run(small_set, out=tmp_path, seed=2, detection=detection)
    other = replace(detection, split=detection.scores.split(0.4, 0.1))
    with pytest.raises(ValueError, match="targets"):
        DST(secure).run(small_set, out=tmp_path, seed=2, detection=other)


def test_a_user_s_own_classifier_of_two_layers_learns_alone() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.bend = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
            self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 3)

        def features(self, x: Tensor) -> Tensor:
            return self.bend(self.body(x)).relu().mean((2, 3))

        def classify(self, features: Tensor) -> Tensor:
            return self.last(self.first(features).relu())

        def forward(self, x: Tensor) -> Tensor:
            return self.classify(self.features(x))

    own = Own()
    own.body.weight.requires_grad_(False)
    Frozen(own, torch.zeros(1, 3, 8, 8))
    learning = {name for name, p in own.named_parameters() if p.requires_grad}
    assert learning == {"first.weight", "first.bias", "last.weight", "last.bias"}


def test_what_is_not_used_is_refused_before_the_audit(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path]
) -> None:
    baseline = replace(
        secure,
        extractor=replace(secure.extractor, learning="ctl"),
        classifier=replace(secure.classifier, loss="ce"),
    )
    with pytest.raises(ValueError, match="Baseline1 uses no detection"):
        DST(baseline).run(small_set, detection=finished[0].detection)
    nobody = replace(secure, detect=replace(secure.detect, alpha_c=0.0))
    with pytest.raises(ValueError, match="D_c is empty with alpha_c 0"):
        DST(nobody).run(small_set)


def test_stage_1_learns_features_and_stage_2_the_classifier_alone(
    small_set: ImageSet, secure: DSTConfig
) -> None:
    clean = torch.arange(len(small_set)) % 3 == 0
    network, fitted = train_extractor(small_set, secure.extractor, clean, **NUMBERS, seed=1)
    assert len(fitted.history) == 2
    before = {name: value.clone() for name, value in network.state_dict().items()}
    known = small_set.select(clean)
    poisoned = torch.arange(len(known)) % 5 == 0
    train_classifier(network, known, secure.classifier, poisoned, **NUMBERS, seed=1)
    changed = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"fc.weight", "fc.bias"}
    assert all(p.requires_grad for p in network.parameters())
    with pytest.raises(ValueError, match="mce: expected poisoned"):
        train_classifier(network, known, secure.classifier, **NUMBERS)
    with pytest.raises(ValueError, match="ss-ctl: expected clean"):
        train_extractor(small_set, secure.extractor, **NUMBERS)


def test_the_convergence_is_that_of_the_reference(
    small_set: ImageSet, secure: DSTConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fctfast.defend import losses
    from fctfast.ops import reference

    settings = replace(
        secure.extractor, budget=Budget(0, min_steps=30), fit=replace(QUICK, precision="float32")
    )
    clean = torch.arange(len(small_set)) % 2 == 0
    curves = []
    for loss in (losses.supcon_loss, reference.supcon_loss):
        monkeypatch.setattr(losses, "supcon_loss", loss)
        _, fitted = train_extractor(small_set, settings, clean, **NUMBERS, seed=1)
        curves.append(torch.tensor([r["loss"] for r in fitted.history]))
    assert float(curves[0][-1]) < float(curves[0][0])
    # 30 steps let a last bit grow (and a GPU's convolutions, in tf32, have fewer of them); a wrong
    # loss would be off from the first.
    rtol = 2e-2 if torch.cuda.is_available() else 1e-3
    torch.testing.assert_close(curves[0], curves[1], rtol=rtol, atol=0)


def test_the_whole_of_d_c_can_be_one_batch(small_set: ImageSet, secure: DSTConfig) -> None:
    known = small_set.select(torch.arange(100))
    settings = replace(
        secure.extractor,
        learning="s-ctl",
        budget=Budget(1),
        fit=replace(QUICK, batch_size=100, precision="float32"),
    )
    made = [
        train_extractor(known, replace(settings, chunk=chunk), **NUMBERS, seed=1)[1].history[0]
        for chunk in (None, 30)
    ]
    assert [record["steps"] for record in made] == [1, 1]
    # Batch norm's statistics are those of a part; the loss compares all 200 views either way. Of
    # parts of 60 views it would be smaller by the logarithm of 3.3, times t / base_temperature.
    assert made[0]["loss"] == pytest.approx(made[1]["loss"], abs=0.5)


def test_groups_say_which_labels_are_trusted(small_set: ImageSet) -> None:
    clean = torch.arange(len(small_set)) % 2 == 0
    alone = -1 - small_set.ids
    assert torch.equal(groups_of(small_set, "ctl", clean), alone)
    assert torch.equal(groups_of(small_set, "s-ctl", None), small_set.labels)
    mixed = groups_of(small_set, "ss-ctl", clean)
    assert torch.equal(mixed, torch.where(clean, small_set.labels, alone))


def test_the_baselines_need_no_detection(small_set: ImageSet, secure: DSTConfig) -> None:
    for learning in ("ctl", "s-ctl"):
        baseline = replace(
            secure,
            extractor=replace(secure.extractor, learning=learning, budget=Budget(1)),
            classifier=replace(secure.classifier, loss="ce", budget=Budget(1)),
        )
        secured = DST(baseline).run(small_set, seed=2)
        assert secured.detection is None
        assert secured.history["classifier"][0]["steps"] == 4  # of 30: all 120 images


def test_an_empty_d_c_is_refused_and_an_empty_d_p_is_not(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path]
) -> None:
    detection = finished[0].detection
    assert detection is not None
    quick = replace(secure, extractor=replace(secure.extractor, budget=Budget(1)))
    without = replace(detection, split=detection.scores.split(0.0, 0.1))
    with pytest.raises(ValueError, match="D_c is empty"):
        DST(quick).run(small_set, detection=without)
    nobody = replace(detection, split=detection.scores.split(0.25, 0.0))
    secured = DST(quick).run(small_set, detection=nobody)
    assert all(torch.isfinite(w.float()).all() for w in weights(secured.model))


def test_features_of_a_frozen_network_rest_in_training_mode() -> None:
    network = create_model("resnet18", num_classes=3, width=4)
    x = torch.rand(8, 3, 32, 32)
    frozen = Frozen(network, x).train()
    first = frozen(x)
    first.sum().backward()
    assert torch.equal(frozen(x), first)
    assert network.training is False
    learning = [name for name, p in network.named_parameters() if p.grad is not None]
    assert learning == ["fc.weight", "fc.bias"]
    parameters = classifier_parameters(network, x)
    assert [p is q for p, q in zip(parameters, network.fc.parameters(), strict=True)] == [True] * 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ExtractorSettings(learning="simclr"), "learning: expected one of ss-ctl"),
        (lambda: ExtractorSettings(views=ViewSettings(views=1)), "at least 2"),
        (lambda: ExtractorSettings(projection=0), "projection: expected at least 1"),
        (lambda: ExtractorSettings(chunk=1), "chunk: expected at least 2"),
        (lambda: ExtractorSettings(temperature=0.0), "temperature: expected more than 0"),
        (lambda: ClassifierSettings(lambda_p=float("nan")), "lambda_p: expected at least 0"),
        (lambda: ViewSettings(scale=(0.1,)), "scale: expected two shares"),
        (lambda: ViewSettings(jitter=(0.1, 0.1, 0.1)), "jitter: expected four reaches"),
        (lambda: ClassifierSettings(loss="mse"), "loss: expected one of mce, ce"),
        (lambda: ClassifierSettings(lambda_p=-1.0), "lambda_p: expected at least 0"),
        (lambda: ClassifierSettings(augment=ViewSettings(views=2)), "one view an image"),
        (lambda: DSTConfig(mode="fast"), "mode: expected one of"),
    ],
)
def test_settings_are_checked(make: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()  # type: ignore[operator]


def test_recipes_have_both_stages() -> None:
    published = DSTConfig.from_recipe("cifar10")
    defaults = DSTConfig()
    assert replace(published.extractor, network=ModelSettings()) == defaults.extractor
    assert published.classifier == defaults.classifier
    for name in ("cifar10-cpu", "cifar100", "digits", "imagenet-subset"):
        assert DSTConfig.from_recipe(name).extractor.learning == "ss-ctl"
