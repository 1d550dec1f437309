"""Facts about the result of an audit on disk."""

from __future__ import annotations

from dataclasses import replace
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


def test_other_shares_of_the_same_scores(finished: tuple[Detection, Path], tmp_path: Path) -> None:
    made, _ = finished
    assert (made.split.alpha_c, made.split.alpha_p) == (0.25, 0.1)
    assert made.resplit(alpha_c=0.5).split.summary() == made.scores.split(0.5, 0.1).summary()
    found = replace(made, auto=(0.85, 0.0899))  # as of an audit with evidence
    auto = found.resplit("auto", "auto")
    assert (auto.split.alpha_c, auto.split.alpha_p) == (0.85, 0.0899)
    assert auto.settings["alpha_p"] == auto.scores.settings["alpha_p"] == "auto"
    # What was asked for stays asked for, also after a detour over the disk: "auto" makes room.
    back = Detection.load(auto.save(tmp_path)).resplit(alpha_p=0.3)
    assert (back.split.alpha_c, back.split.alpha_p) == (0.7, 0.3)
    assert (back.settings["alpha_c"], back.settings["alpha_p"]) == ("auto", 0.3)
    with pytest.raises(ValueError, match="must not exceed 1"):
        found.resplit(0.9, 0.2)


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
