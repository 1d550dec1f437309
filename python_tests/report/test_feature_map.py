"""The feature map: two panels of one embedding, the same bytes for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fctfast.data import ImageSet
from fctfast.report import save_feature_map
from fctfast.report.feature_map import _choose, _features

NORM = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


class Flat(nn.Module):
    def features(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def test_both_panels_are_drawn_and_repeat(small_set: ImageSet, tmp_path: Path) -> None:
    marked = torch.arange(120) % 8 == 0
    for name in ("a.png", "b.png"):
        save_feature_map(tmp_path / name, Flat(), small_set, marked, samples=60, **NORM)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    ink = pixels.min(2) < 200
    middle = pixels.shape[1] // 2
    plot = slice(int(0.15 * len(pixels)), int(0.85 * len(pixels)))
    assert ink[plot, 50 : middle - 50].any()
    assert ink[plot, middle + 50 : -50].any()


def test_features_are_those_before_and_after_tau(small_set: ImageSet) -> None:
    before, after = _features(Flat(), small_set, transform="flip", seed=0, **NORM)
    images = ((small_set.images / 255 - 0.5) / 0.25).permute(0, 3, 1, 2)
    torch.testing.assert_close(before, images.flatten(1), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(after, images.flip(3).flatten(1), rtol=1e-5, atol=1e-5)


def test_a_quarter_is_marked_where_there_are_as_many() -> None:
    marked = torch.arange(1000) % 2 == 0
    kept = _choose(marked, 100, 0)
    assert int(marked[kept].sum()) == 25
    assert len(kept) == len(kept.unique()) == 100
    few = torch.arange(1000) < 3
    kept = _choose(few, 100, 0)
    assert int(few[kept].sum()) == 3
    assert len(kept) == 100


def test_a_mask_of_another_length_is_refused(small_set: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a mask of their number, got 120 and"):
        save_feature_map(
            tmp_path / "a.png", Flat(), small_set, torch.zeros(7, dtype=torch.bool), **NORM
        )
