"""What a person sees of a trigger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fctfast.report import save_preview

LEFT, TOP, TILE = 350, 60, 160


def difference(path: Path, clean: torch.Tensor, triggered: torch.Tensor) -> np.ndarray:
    save_preview(path, clean, triggered, title="title")
    return np.asarray(Image.open(path))[TOP : TOP + TILE, LEFT : LEFT + TILE]


def test_weak_changes_show_beside_strong_ones(tmp_path: Path) -> None:
    clean = torch.full((1, 32, 32, 3), 100, dtype=torch.uint8)
    triggered = clean.clone()
    triggered[:, ::2] += 8
    triggered[:, 0, :3] = 255
    seen = difference(tmp_path / "a.png", clean, triggered)
    assert int(seen[15, 80, 0]) == 128  # row 3: as it was
    assert int(seen[12, 80, 0]) == 128 + 96
    assert int(seen[2, 2, 0]) == 255


def test_strong_changes_are_not_weakened(tmp_path: Path) -> None:
    clean = torch.zeros(1, 32, 32, 1, dtype=torch.uint8)
    triggered = clean.clone()
    triggered[:, -1, -1] = 120
    seen = difference(tmp_path / "a.png", clean, triggered)
    assert int(seen[-1, -1, 0]) == 248
    assert (difference(tmp_path / "b.png", clean, clean) == 128).all()


def test_sides_stay_in_proportion(tmp_path: Path) -> None:
    clean = torch.zeros(1, 20, 40, 3, dtype=torch.uint8)
    seen = difference(tmp_path / "a.png", clean, clean + 10)
    assert (seen[:40] == 255).all()
    assert (seen[40:120] != 255).all()
    assert (seen[120:] == 255).all()


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    none = torch.zeros(0, 8, 8, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="expected images and as many triggered ones"):
        save_preview(tmp_path / "a.png", none, none, title="title")
