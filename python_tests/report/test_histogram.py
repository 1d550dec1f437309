from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fctfast.attacks.truth import Truth
from fctfast.detect import Scores
from fctfast.report import save_histogram

Make = Callable[..., tuple[Scores, Truth]]
BLUE, RED = (0x2A, 0x78, 0xB5), (0xD1, 0x49, 0x5B)


def columns_of(picture: Path, colour: tuple[int, int, int]) -> np.ndarray:
    """Columns in which a colour fills more than a line does, above the legend."""
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    frame = pixels[: int(0.8 * len(pixels))]
    hits = (np.abs(frame - colour).max(2) < 6).sum(0)
    return np.flatnonzero(hits > 0)


def test_clean_is_left_of_suspicious(make_scores: Make, tmp_path: Path) -> None:
    scores, truth = make_scores(400, 40)
    save_histogram(tmp_path / "h.png", scores, scores.split(), truth=truth)
    with Image.open(tmp_path / "h.png") as picture:
        assert picture.format == "PNG"
        assert picture.size[0] >= 1000
    blue, red = columns_of(tmp_path / "h.png", BLUE), columns_of(tmp_path / "h.png", RED)
    assert len(blue) > 10
    assert len(red) > 10
    assert blue.max() < red.min()


def test_the_same_scores_give_the_same_bytes(make_scores: Make, tmp_path: Path) -> None:
    scores, _ = make_scores()
    for name in ("a.png", "b.png"):
        save_histogram(tmp_path / name, scores, scores.split())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "fct",
    [
        torch.ones(20),
        torch.zeros(20),
        torch.tensor([0.0] * 19 + [1e9]),
        torch.logspace(-8, 8, 20),
        torch.arange(20.0) - 10,
    ],
    ids=["equal", "zero", "one-outlier", "decades", "negative"],
)
def test_any_distribution_can_be_drawn(fct: torch.Tensor, tmp_path: Path) -> None:
    labels = torch.zeros(20, dtype=torch.int64)
    scores = Scores(ids=torch.arange(20), labels=labels, fct=fct.double())
    save_histogram(tmp_path / "h.png", scores, scores.split())
    assert Image.open(tmp_path / "h.png").size[0] > 0


def test_an_empty_part_has_no_threshold(make_scores: Make, tmp_path: Path) -> None:
    scores, _ = make_scores()
    save_histogram(tmp_path / "h.png", scores, scores.split(0.0, 0.05))
    assert len(columns_of(tmp_path / "h.png", BLUE)) == 0


def test_no_scores_are_an_error(tmp_path: Path) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    scores = Scores(ids=none, labels=none, fct=torch.zeros(0, dtype=torch.float64))
    with pytest.raises(ValueError, match="at least one score"):
        save_histogram(tmp_path / "h.png", scores, scores.split(0, 0))


def test_drawing_leaves_pyplot_alone() -> None:
    """Importing pyplot would pick a GUI backend for the user's whole process."""
    code = "import sys, fctfast.report; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
