"""Facts about the result of an audit on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fctfast.detect import Detection
from fctfast.io import read_json, write_json
from fctfast.models import load_model


def test_what_is_saved_comes_back(finished: tuple[Detection, Path]) -> None:
    made, folder = finished
    back = Detection.load(folder)
    assert torch.equal(back.scores.fct, made.scores.fct)
    assert torch.equal(back.split.clean, made.split.clean)
    assert back.split.gamma_p == made.split.gamma_p
    assert back.verdict == made.verdict
    assert [s["step"] for s in back.snapshots] == [12, 12, 16, 16]
    probe, info = load_model(folder / "probe.safetensors")
    assert info.class_names == ("red", "green", "blue")
    assert sum(p.numel() for p in probe.parameters()) > 0


def test_a_result_whose_table_was_changed_is_refused(
    finished: tuple[Detection, Path], tmp_path: Path
) -> None:
    made, _ = finished
    folder = made.save(tmp_path)
    raw = read_json(folder / "detection.json")
    raw["split"]["gamma_p"] += 1.0
    write_json(folder / "detection.json", raw)
    with pytest.raises(ValueError, match="different runs"):
        Detection.load(folder)
    write_json(folder / "detection.json", {"format": "other"})
    with pytest.raises(ValueError, match="not the result of a detection"):
        Detection.load(folder)
