"""Facts about D-ST as a whole: repeatable, resumable, stages that do what they say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fctfast import io
from fctfast.data import ImageSet
from fctfast.defend import (
    DST,
    ClassifierSettings,
    DSTConfig,
    ExtractorSettings,
    Secured,
)
from fctfast.detect import Detection, PoisonRate
from fctfast.models import load_model
from fctfast.report import summarise
from fctfast.train import Budget, ViewSettings, predict
from fctfast.train.progress import Quiet
from fctfast.train.recipes import ModelSettings


def weights(model: nn.Module) -> list[Tensor]:
    return list(model.state_dict().values())


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x.cpu(), y.cpu()) for x, y in zip(weights(a), weights(b), strict=True))


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


def test_each_stage_gets_the_samples_that_the_split_names(
    small_set: ImageSet,
    secure: DSTConfig,
    finished: tuple[Secured, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, given = sys.modules["fctfast.defend.dst"], {}

    def watch(name: str) -> None:
        train = getattr(module, name)

        def watched(*args: Any, **how: Any) -> Any:
            given[name] = args
            return train(*args, **how)

        monkeypatch.setattr(module, name, watched)

    watch("train_extractor")
    watch("train_classifier")
    detection = finished[0].detection
    assert detection is not None
    secured = DST(secure).run(small_set, detection=detection, seed=2)
    trusted, flagged = (set(ids.tolist()) for ids in (
        detection.split.clean, detection.split.poisoned
    ))  # fmt: skip
    assert trusted
    assert flagged
    assert not trusted & flagged
    images, _, clean = given["train_extractor"]
    assert images.ids.tolist() == small_set.ids.tolist()  # D_u takes part in stage 1
    assert {i for i, yes in zip(images.ids.tolist(), clean.tolist(), strict=True) if yes} == trusted
    _, known, _, poisoned = given["train_classifier"]
    members = dict(zip(known.ids.tolist(), poisoned.tolist(), strict=True))
    assert members == dict.fromkeys(trusted, False) | dict.fromkeys(flagged, True)
    numbers = {"mean": secured.info.mean, "std": secured.info.std}
    right = predict(secured.model, small_set.images, **numbers) == small_set.labels
    for name, part in (("dc_kept", trusted), ("dp_kept", flagged)):
        rows = small_set.positions(torch.tensor(sorted(part)))
        assert secured.kept[name] == pytest.approx(float(right[rows].double().mean()))
    assert secured.kept["dc_kept"] != secured.kept["dp_kept"]


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


def test_a_folder_holds_the_detection_that_was_given(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path], tmp_path: Path
) -> None:
    # The folder of a run that has a detection is as good as the detection's own.
    found = Detection.load(finished[1] / "detect")
    other = found.resplit(0.3, 0.1)
    DST(secure).run(small_set, detection=finished[1], seed=2, out=tmp_path / "same")
    DST(secure).run(small_set, detection=other, seed=2, out=tmp_path / "other")
    for folder, used in (("same", found), ("other", other)):
        kept = Detection.load(tmp_path / folder / "detect")
        assert torch.equal(kept.split.clean, used.split.clean)
        assert torch.equal(kept.split.poisoned, used.split.poisoned)
    before = {p: p.read_bytes() for p in sorted((tmp_path / "same").rglob("*")) if p.is_file()}
    with pytest.raises(ValueError, match="holds another audit than the one that is given"):
        DST(secure).run(small_set, detection=other, seed=2, out=tmp_path / "same")
    assert {p: p.read_bytes() for p in before} == before


def test_a_summary_knows_runs_of_python(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path], tmp_path: Path
) -> None:
    whole = summarise(finished[1])
    assert whole["detection"]["samples"] == len(small_set)
    assert whole["secure"]["run"] == "D-ST"
    assert whole["secure"]["extractor_passes"] == whole["secure"]["classifier_passes"] == 2
    assert whole["secure"]["poison_still_predicted"] == finished[0].kept["dp_kept"]
    baseline = replace(
        secure, extractor=replace(secure.extractor, learning="ctl"),
        classifier=replace(secure.classifier, loss="ce"),
    )  # fmt: skip
    DST(baseline).run(small_set, out=tmp_path)
    plain = summarise(tmp_path)
    assert "detection" not in plain
    assert plain["secure"]["run"] == "Baseline1"


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
    (tmp_path / "detect" / "detection.json").unlink()  # which would be refused before that
    with pytest.raises(ValueError, match="targets"):
        DST(secure).run(small_set, out=tmp_path, seed=2, detection=other)


def test_what_is_not_used_is_refused_before_the_audit(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path], tmp_path: Path
) -> None:
    baseline = replace(
        secure,
        extractor=replace(secure.extractor, learning="ctl"),
        classifier=replace(secure.classifier, loss="ce"),
    )
    with pytest.raises(ValueError, match="Baseline1 uses no detection"):
        DST(baseline).run(small_set, detection=finished[0].detection)
    (tmp_path / "file").write_text("mine")
    for config in (secure, baseline):
        with pytest.raises(NotADirectoryError, match="expected a folder"):
            DST(config).run(small_set, out=tmp_path / "file")
    nobody = replace(secure, detect=replace(secure.detect, alpha_c=0.0))
    with pytest.raises(ValueError, match="D_c is empty with alpha_c 0"):
        DST(nobody).run(small_set)


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


def test_it_says_that_d_c_is_small_for_want_of_evidence(
    small_set: ImageSet, secure: DSTConfig, finished: tuple[Secured, Path]
) -> None:
    said: list[str] = []

    class Saying(Quiet):
        def note(self, text: str) -> None:
            said.append(text)

    found = finished[0].detection
    assert found is not None
    quick = replace(secure, extractor=replace(secure.extractor, budget=Budget(1)))
    nobody = found.resplit("auto", "auto")
    assert nobody.rate is None
    DST(quick).run(small_set, detection=nobody, progress=Saying())
    assert any("D-ST: for want of evidence D_c is the 20% of the set" in text for text in said)
    sure = replace(nobody, rate=PoisonRate(0.1, 0.1, 0.1))
    for other in (found.resplit(0.2, "auto"), sure):  # the user's own share, or evidence
        said.clear()
        DST(quick).run(small_set, detection=other, progress=Saying())
        assert not said


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ExtractorSettings(learning="simclr"), "learning: expected one of ss-ctl"),
        (lambda: ExtractorSettings(views=ViewSettings(views=1)), "at least 2"),
        (
            lambda: ExtractorSettings(projection=0),
            "projection: expected a whole number of at least 1",
        ),
        (lambda: ExtractorSettings(chunk=1), "chunk: expected at least 2"),
        (lambda: ExtractorSettings(temperature=0.0), "expected temperature of at least 0.001"),
        (lambda: ClassifierSettings(lambda_p=float("nan")), "lambda_p: expected at least 0"),
        (lambda: ViewSettings(scale=(0.1,)), "scale: expected two shares"),
        (lambda: ViewSettings(jitter=(0.1, 0.1, 0.1)), "jitter: expected four reaches"),
        (lambda: ClassifierSettings(loss="mse"), "loss: expected one of mce, ce"),
        (lambda: ClassifierSettings(lambda_p=-1.0), "lambda_p: expected at least 0"),
        (lambda: ClassifierSettings(augment=ViewSettings(views=2)), "one view an image"),
        (lambda: DSTConfig(mode="fast"), "mode: expected one of"),
    ],
)
def test_settings_are_checked(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_recipes_have_both_stages() -> None:
    published = DSTConfig.from_recipe("cifar10")
    defaults = DSTConfig()
    assert replace(published.extractor, network=ModelSettings()) == defaults.extractor
    assert published.classifier == defaults.classifier
    for name in ("cifar10-cpu", "cifar100", "digits", "imagenet-subset"):
        assert DSTConfig.from_recipe(name).extractor.learning == "ss-ctl"
