"""The picture of the moments: a line a tau, the chosen one marked."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fctfast.report import save_moments


def moment(
    step: int, transform: str, separation: float, collapsed: bool = False
) -> dict[str, object]:
    return {
        "step": step,
        "transform": transform,
        "separation": separation,
        "reasons": ["zero features"] if collapsed else [],
    }


def test_lines_a_ring_and_a_cross_are_drawn(tmp_path: Path) -> None:
    taken = [moment(s, t, s / 10) for s in (10, 20, 30) for t in ("flip", "crop")]
    files = {}
    for name, snapshots, chosen in (
        ("plain", taken, (30, "flip")),
        ("other", taken, (10, "crop")),
        ("fallen", [*taken[:-1], moment(30, "crop", 3.0, collapsed=True)], (30, "flip")),
    ):
        files[name] = tmp_path / f"{name}.png"
        save_moments(files[name], snapshots, chosen)
        assert Image.open(files[name]).size == (1350, 720)
    assert len({path.read_bytes() for path in files.values()}) == 3


def test_the_same_moments_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_moments(tmp_path / name, [moment(1, "flip", 0.0)], (1, "flip"))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one snapshot"):
        save_moments(tmp_path / "a.png", [], (1, "flip"))
