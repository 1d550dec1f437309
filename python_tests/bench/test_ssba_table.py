"""The table of ssba's encoders, at a tiny size."""

from __future__ import annotations

import functools
import importlib
from pathlib import Path

import pytest
import torch

from fctfast.attacks import stegastamp_training

BENCH = Path(__file__).resolve().parents[2] / "bench"


def test_a_line_an_encoder_and_what_has_no_source_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    monkeypatch.setenv("FCTFAST_CACHE", str(tmp_path))
    quick = functools.partial(stegastamp_training.StampTraining, steps=1, batch_size=2)
    monkeypatch.setattr(stegastamp_training, "StampTraining", quick)
    table = importlib.import_module("ssba_table")
    cases = (table.Hiding("digits", limit=50), table.Hiding("photographs", image_size=64))
    monkeypatch.setattr(table, "CASES", cases)
    assert table.main([]) == 0
    said = capsys.readouterr()
    (row,) = [line for line in said.out.splitlines() if line.startswith("| digits")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:5] == ["32x32x3", "40", "10", "16"]
    asked, least = (float(part) for part in cells[5].split(","))
    assert asked == 30
    assert least > 29.5  # by construction, but for rounding, and black that cannot get darker
    assert -1 <= float(cells[7]) <= 1
    assert "photographs: left out, no --source photographs=PATH" in said.err


def test_changes_that_are_the_same_in_every_image_have_a_cosine_of_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    table = importlib.import_module("ssba_table")

    class Blend:
        def hide(self, images: torch.Tensor) -> torch.Tensor:
            return images + torch.arange(12, dtype=torch.uint8).view(2, 2, 3)

    images = torch.arange(5 * 12).view(5, 2, 2, 3).to(torch.uint8)
    assert table.alike(Blend(), images) == pytest.approx(1.0)
