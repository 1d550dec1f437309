"""Facts about the audit: repeatable, resumable, blind to everything but images and labels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.detect import Detection, DetectSettings, detect, snapshots
from fctfast.models.resnet import ResNet

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

    def dies(*args: object, **kwargs: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(snapshots, "fct", dies)
    with pytest.raises(Killed):
        detect(small_set, settings=small_settings, seed=3, out=tmp_path, **ALPHAS)
    assert not (tmp_path / "detection.json").exists()
    again = detect(small_set, settings=small_settings, seed=3, out=tmp_path, **ALPHAS)
    # The first snapshot was on disk: only the second was scored again.
    assert len(calls) == 3
    assert torch.equal(again.scores.fct, finished[0].scores.fct)
    assert len(again.snapshots) == 2


def test_a_finished_run_scores_nothing_again_and_other_settings_are_refused(
    small_set: ImageSet,
    small_settings: DetectSettings,
    finished: tuple[Detection, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*args: object, **kwargs: object) -> object:
        raise AssertionError("scored again")

    monkeypatch.setattr(snapshots, "fct", never)
    made, folder = finished
    again = detect(small_set, settings=small_settings, seed=3, out=folder, **ALPHAS)
    assert torch.equal(again.scores.fct, made.scores.fct)
    with pytest.raises(ValueError, match="other settings"):
        detect(small_set, settings=small_settings, seed=5, out=folder, **ALPHAS)


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
    kwargs: dict[str, object],
    message: str,
) -> None:
    from fctfast.detect import audit

    monkeypatch.setattr(audit, "train_probe", None)
    with pytest.raises(ValueError, match=message):
        detect(small_set, **kwargs)  # type: ignore[arg-type]


def test_one_class_and_an_empty_set_are_clear_errors(small_set: ImageSet) -> None:
    with pytest.raises(ValueError, match="one label"):
        detect(small_set.select(small_set.labels == 1))
    with pytest.raises(ValueError, match="no readable sample"):
        detect(small_set.select(torch.zeros(0, dtype=torch.int64)))
