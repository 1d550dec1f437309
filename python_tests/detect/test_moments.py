"""The moments of a probe: compared on a sample, and the one that counts scores the set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fctfast.data import ImageSet
from fctfast.detect import Detection, DetectSettings, audit, detect, fct, moments, snapshots

ALPHAS = {"alpha_c": 0.25, "alpha_p": 0.1}


def test_moments_are_compared_on_a_sample_and_the_chosen_one_scores_the_set(
    small_set: ImageSet,
    small_settings: DetectSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # 25 samples a class are too few for two groups: all separations are 0, and the first tau wins.
    settings = replace(small_settings.under("flip+crop", "rotate+affine"), per_class=25)
    found = detect(small_set, settings=settings, seed=3, out=tmp_path, **ALPHAS)
    assert len(found.scores) == len(small_set)
    sample, _ = snapshots.read_snapshot(tmp_path / "snapshot-003.safetensors", 75, {})
    shapes = {name: result.fct.shape for name, result in sample.items()}
    assert shapes == dict.fromkeys(settings.transforms, (2, 75))
    # The probe that is handed out is the one that made the scores.
    assert found.probe is not None
    assert found.info is not None
    again = fct(
        found.probe, small_set, mean=found.info.mean, std=found.info.std, seed=3,
        settings=replace(settings.score, transform="flip+crop"),
    )  # fmt: skip
    assert found.settings["score"]["transform"] == "flip+crop"
    assert found.settings["transforms"] == ("flip+crop", "rotate+affine")
    assert torch.equal(again.score(settings.score.over_draws), found.scores.fct)
    best = max(found.snapshots, key=lambda s: (s["separation"], s["step"]))
    assert found.settings["step"] == best["step"]
    # A finished run scores nothing again; without the set's scores it only makes those.
    (tmp_path / "detection.json").unlink()
    calls = []
    real = moments.fct

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(len(args[1]))
        return real(*args, **kwargs)

    monkeypatch.setattr(moments, "fct", counted)
    monkeypatch.setattr(snapshots, "fct", counted)
    same = detect(small_set, settings=settings, seed=3, out=tmp_path, **ALPHAS)
    assert calls == []
    (scored,) = tmp_path.glob("scored-*.safetensors")
    scored.unlink()
    same = detect(small_set, settings=settings, seed=3, out=tmp_path, **ALPHAS)
    assert calls == [len(small_set)]
    assert torch.equal(same.scores.fct, found.scores.fct)


def test_the_tau_on_record_is_the_one_that_scored(
    small_set: ImageSet,
    small_settings: DetectSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit, "most_telling", lambda taken: taken[-1])  # not the first tau
    settings = replace(small_settings.under("rotate+affine", "flip+crop"), per_class=25)
    found = detect(small_set, settings=settings, seed=3, out=tmp_path, **ALPHAS)
    for kept in (found, Detection.load(tmp_path)):
        assert kept.settings["score"]["transform"] == "flip+crop"
        assert list(kept.settings["transforms"]) == ["rotate+affine", "flip+crop"]
    assert found.probe is not None
    assert found.info is not None
    again = fct(
        found.probe, small_set, mean=found.info.mean, std=found.info.std, seed=3,
        settings=replace(settings.score, transform=found.settings["score"]["transform"]),
    )  # fmt: skip
    assert torch.equal(again.score(settings.score.over_draws), found.scores.fct)
