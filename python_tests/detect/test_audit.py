"""Facts about the audit: repeatable, resumable, blind to everything but images and labels."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.detect import Detection, DetectSettings, detect, moments, snapshots
from fctfast.detect.evidence import Evidence
from fctfast.detect.mixture import TwoGroups
from fctfast.detect.verdict import judge
from fctfast.models.resnet import ResNet
from fctfast.train import Budget

ALPHAS = {"alpha_c": 0.25, "alpha_p": 0.1}


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(
    small_set: ImageSet, small_settings: DetectSettings, finished: tuple[Detection, Path]
) -> None:
    again = detect(small_set, settings=small_settings, seed=3, **ALPHAS)
    assert torch.equal(again.scores.fct, finished[0].scores.fct)
    assert torch.equal(again.split.poisoned, finished[0].split.poisoned)
    other = detect(small_set, settings=small_settings, seed=4, **ALPHAS)
    assert not torch.equal(other.scores.fct, finished[0].scores.fct)


def test_a_killed_run_goes_on_to_the_same_scores(
    small_set: ImageSet,
    small_settings: DetectSettings,
    finished: tuple[Detection, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(BaseException):
        pass

    real, calls = snapshots.fct, []

    def dies(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:  # under the second tau of the second moment
            raise Killed
        return real(*args, **kwargs)

    monkeypatch.setattr(snapshots, "fct", dies)
    with pytest.raises(Killed):
        detect(small_set, settings=small_settings, seed=3, out=tmp_path, **ALPHAS)
    assert not (tmp_path / "detection.json").exists()
    again = detect(small_set, settings=small_settings, seed=3, out=tmp_path, **ALPHAS)
    # The first moment was on disk: only the second was scored again, under both taus.
    assert len(calls) == 6
    assert torch.equal(again.scores.fct, finished[0].scores.fct)
    assert len(again.snapshots) == 4


def test_a_finished_run_scores_nothing_again_and_other_settings_are_refused(
    small_set: ImageSet,
    small_settings: DetectSettings,
    finished: tuple[Detection, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("scored again")

    monkeypatch.setattr(snapshots, "fct", never)
    made, folder = finished
    again = detect(small_set, settings=small_settings, seed=3, out=folder, **ALPHAS)
    assert torch.equal(again.scores.fct, made.scores.fct)
    with pytest.raises(ValueError, match="other settings"):
        detect(small_set, settings=small_settings, seed=5, out=folder, **ALPHAS)


def test_a_folder_of_other_scores_is_refused_before_training(
    small_set: ImageSet,
    small_settings: DetectSettings,
    finished: tuple[Detection, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = shutil.copytree(finished[1], tmp_path / "copy")
    monkeypatch.setattr(moments, "train_probe", None)

    def again(data: ImageSet = small_set, **changes: Any) -> Detection:
        settings = replace(small_settings, **changes)
        return detect(data, settings=settings, seed=3, out=folder, **ALPHAS)

    score = small_settings.score
    for changed, name in [
        ({"score": replace(score, draws=16)}, r"score\.draws \(2 there, 16 now\)"),
        ({"score": replace(score, over_draws="geometric")}, "score.over_draws"),
        ({"per_class": 300}, r"per_class \(400 there, 300 now\)"),
        ({"transforms": ("rotate",)}, "transforms"),
        ({"score": replace(score, precision="bfloat16")}, "score.precision"),
        ({"recompute_batch_norm": False}, "recompute_batch_norm"),
        ({"mean": (0.5,) * 3, "std": (0.2,) * 3}, "mean.0"),
        ({"probe": replace(small_settings.probe, learn=Budget(3))}, "probe.learn.epochs"),
    ]:
        with pytest.raises(ValueError, match=f"other settings: .*{name}.*use a new folder"):
            again(**changed)
    labels = small_set.labels.clone()
    labels[5] = (labels[5] + 1) % 3
    with pytest.raises(ValueError, match="other settings: data"):
        again(replace(small_set, labels=labels))


def test_other_draws_in_one_folder_are_refused_in_published_mode_too(
    small_set: ImageSet, small_settings: DetectSettings, tmp_path: Path
) -> None:
    detect(small_set, mode="published", settings=small_settings, out=tmp_path, **ALPHAS)
    with pytest.raises(ValueError, match=r"score\.draws \(1 there, 16 now\)"):
        detect(
            small_set, mode="published", settings=small_settings, out=tmp_path, draws=16, **ALPHAS
        )


def test_published_takes_the_first_tau_alone(
    small_set: ImageSet, small_settings: DetectSettings
) -> None:
    settings = small_settings.under("blur", "rotate+affine")
    found = detect(small_set, mode="published", settings=settings, **ALPHAS)
    assert [s["transform"] for s in found.snapshots] == ["blur"]
    assert found.settings["transforms"] == ("blur",)


def test_published_measures_but_does_not_judge(
    small_set: ImageSet, small_settings: DetectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A clean set's classes form two groups there, too: on CIFAR-10 in up to eight of nine.
    apart = TwoGroups((0.0, 9.0), (1.0, 1.0), upper_share=0.5, gain=99.0, samples=60)
    twice = judge(Evidence((apart, apart), (0.0, 0.0), (0.75, 0.75)))
    assert twice.evidence == "yes"
    monkeypatch.setattr(sys.modules["fctfast.detect.audit"], "judge", lambda _: twice)
    found = detect(small_set, mode="published", settings=small_settings, **ALPHAS)
    assert found.verdict.evidence == "unclear"
    assert found.verdict.suspected_classes == ()
    assert found.verdict.separation == 9.0
    (reason,) = found.verdict.reasons  # and nothing of evidence or a target
    assert "published mode has no verdict" in reason
    robust = detect(small_set, settings=small_settings, **ALPHAS)
    assert robust.verdict is twice


def test_a_given_tau_is_the_only_one(
    small_set: ImageSet, small_settings: DetectSettings, tmp_path: Path
) -> None:
    found = detect(small_set, settings=small_settings, transform="flip", seed=3, **ALPHAS)
    assert {s["transform"] for s in found.snapshots} == {"flip"}
    assert found.settings["score"]["transform"] == "flip"
    other = replace(small_settings.score, transform="blur+flip")
    with pytest.raises(ValueError, match=r"say transforms=\('blur\+flip',\) to score with it"):
        replace(small_settings, score=other)
    # One moment under one tau has nothing to be compared with: it scores the whole set at once.
    one = replace(small_settings.under("flip"), snapshots=1, per_class=25)
    detect(small_set, settings=one, seed=3, out=tmp_path / "one", **ALPHAS)
    assert not list((tmp_path / "one").glob("scored-*"))
    two = replace(small_settings.under("flip", "crop"), snapshots=1, per_class=25)
    found = detect(small_set, settings=two, seed=3, out=tmp_path / "two", **ALPHAS)
    assert [s["transform"] for s in found.snapshots] == ["flip", "crop"]
    assert len(list((tmp_path / "two").glob("scored-*"))) == 1
    assert len(found.scores) == len(small_set)


def test_a_missing_snapshot_is_scored_again_only_if_its_probe_is_at_hand(
    small_set: ImageSet,
    small_settings: DetectSettings,
    finished: tuple[Detection, Path],
    tmp_path: Path,
) -> None:
    made, folder = finished[0], shutil.copytree(finished[1], tmp_path / "copy")

    def again(settings: DetectSettings = small_settings) -> Detection:
        return detect(small_set, settings=settings, seed=3, out=folder, **ALPHAS)

    (folder / "snapshot-003.safetensors").unlink()
    assert again().snapshots == made.snapshots
    for settings in (small_settings, replace(small_settings, snapshots=4)):
        (folder / "snapshot-002.safetensors").unlink(missing_ok=True)
        with pytest.raises(ValueError, match=r"is missing.* new folder, or delete the whole"):
            again(settings)
    # One moment needs no earlier file.
    assert again(replace(small_settings, snapshots=1)).snapshots == made.snapshots[2:]


def test_the_settings_hold_the_fingerprint_of_the_data(
    small_set: ImageSet, finished: tuple[Detection, Path]
) -> None:
    made, folder = finished
    assert made.settings["data"] == small_set.fingerprint()
    assert Detection.load(folder).settings["data"] == small_set.fingerprint()


@pytest.mark.parametrize("segment", [None, 2])
def test_budgets_that_buy_no_step_are_an_early_error(
    small_set: ImageSet, small_settings: DetectSettings, segment: int | None
) -> None:
    nothing = Budget(epochs=0)
    probe = replace(small_settings.probe, learn=nothing, spread=nothing, segment=segment)
    with pytest.raises(ValueError, match="probe: the budgets of learn and spread buy no step"):
        detect(small_set, settings=replace(small_settings, probe=probe), **ALPHAS)


def test_a_collapsed_probe_is_an_error_in_robust_mode_only(
    small_set: ImageSet, small_settings: DetectSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the official repository's issue 1 reports: features no longer depend on the image.
    def same_for_all(self: ResNet, x: torch.Tensor) -> torch.Tensor:
        return self.fc.weight.mean(0).expand(len(x), -1)

    monkeypatch.setattr(ResNet, "features", same_for_all)
    with pytest.raises(ValueError, match="collapsed at every moment"):
        detect(small_set, settings=small_settings, **ALPHAS)
    noise = detect(small_set, settings=small_settings, mode="published", **ALPHAS)
    assert len(noise.split.poisoned) == 12


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"mode": "fast"}, "expected one of robust, published"),
        ({"alpha_c": 0.9, "alpha_p": 0.2}, "must not exceed 1"),
        ({"alpha_p": 0.001}, "at least 1000 samples"),
    ],
)
def test_impossible_requests_fail_before_training(
    small_set: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
    kwargs: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.setattr(moments, "train_probe", None)
    with pytest.raises(ValueError, match=message):
        detect(small_set, **kwargs)


def test_one_class_and_an_empty_set_are_clear_errors(small_set: ImageSet) -> None:
    with pytest.raises(ValueError, match="one label"):
        detect(small_set.select(small_set.labels == 1))
    with pytest.raises(ValueError, match="no readable sample"):
        detect(small_set.select(torch.zeros(0, dtype=torch.int64)))
