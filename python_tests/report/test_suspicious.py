from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fctfast.attacks.truth import Truth
from fctfast.data import ImageSet
from fctfast.detect import Scores
from fctfast.report import save_contact_sheet, save_findings, save_suspicious_list

Make = Callable[..., tuple[Scores, Truth]]
NAMES = ("cat", "dog, wet", "owl", "a class with a very long name")


def images_of(scores: Scores, colour: tuple[int, int, int]) -> ImageSet:
    """Grey images in another order than the scores; the most suspicious sample has a colour."""
    images = torch.full((len(scores), 4, 6, 3), 90, dtype=torch.uint8)
    worst = int(scores.fct.argmax())
    images[worst] = torch.tensor(colour, dtype=torch.uint8)
    whole = ImageSet(ids=scores.ids, images=images, labels=scores.labels, class_names=NAMES)
    return whole.select(torch.arange(len(scores)).flip(0))


def test_the_list_holds_d_p_with_the_worst_first(make_scores: Make, tmp_path: Path) -> None:
    scores, _ = make_scores(200, 20)
    split = scores.split(0.2, 0.05)
    save_suspicious_list(tmp_path / "s.csv", scores, split, NAMES)
    with open(tmp_path / "s.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["rank"]) for row in rows] == list(range(1, 11))
    assert {int(row["id"]) for row in rows} == set(split.poisoned.tolist())
    values = [float(row["fct"]) for row in rows]
    assert values == sorted(values, reverse=True)
    for row in rows:
        position = int(row["id"]) - 100
        assert int(row["label"]) == int(scores.labels[position])
        assert row["class"] == NAMES[int(row["label"])]


def test_the_sheet_shows_the_worst_sample_first(make_scores: Make, tmp_path: Path) -> None:
    scores, _ = make_scores(200, 20)
    data = images_of(scores, (250, 10, 200))
    save_contact_sheet(tmp_path / "s.png", data, scores, scores.split())
    pixels = np.asarray(Image.open(tmp_path / "s.png")).astype(int)
    hits = np.argwhere(np.abs(pixels - (250, 10, 200)).max(2) < 3)
    rows, columns = hits[:, 0], hits[:, 1]
    assert columns.min() < 20
    assert columns.max() < 130
    assert rows.max() < 160


def test_an_empty_d_p_is_no_sheet(make_scores: Make, tmp_path: Path) -> None:
    scores, _ = make_scores(200, 20)
    data, split = images_of(scores, (1, 2, 3)), scores.split(0.2, 0.0)
    with pytest.raises(ValueError, match="raise alpha_p"):
        save_contact_sheet(tmp_path / "s.png", data, scores, split)
    files = save_findings(tmp_path, data, scores, split)
    assert sorted(files) == ["histogram", "list"]


def test_findings_are_three_files(make_scores: Make, tmp_path: Path) -> None:
    scores, truth = make_scores(200, 20)
    data = images_of(scores, (1, 2, 3))
    files = save_findings(tmp_path / "run", data, scores, scores.split(), truth=truth)
    assert {file.name for file in files.values()} == {
        "histogram.png",
        "suspicious.csv",
        "suspicious.png",
    }
    assert all(file.stat().st_size > 100 for file in files.values())
