"""Facts about the table of scores."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fctfast.data import ImageSet, Quarantined
from fctfast.detect.scores import COLUMNS, Scores
from fctfast.io import read_table, write_table


def scores(*, paths: bool = True) -> Scores:
    ids = torch.tensor([5, 2, 9, 0, *range(20, 40)])
    return Scores(
        ids=ids,
        labels=ids % 3,
        fct=torch.arange(24, dtype=torch.float64) / 3,
        paths=tuple(f"a/{i}.png" for i in ids.tolist()) if paths else None,
        quarantined=(Quarantined(id=7, path="a/7.png", label=1, error="truncated"),),
        settings={"draws": 4},
    )


def test_the_table_has_the_promised_columns_sorted_by_id_bad_rows_included(tmp_path: Path) -> None:
    made = scores()
    made.save(tmp_path / "scores.parquet", made.split(0.25, 0.125))
    table = read_table(tmp_path / "scores.parquet")
    assert tuple(table) == COLUMNS
    ids = list(table["id"])
    assert ids == sorted([*made.ids.tolist(), 7])
    row = ids.index(7)
    assert (table["status"][row], table["error"][row], table["split"][row]) == (
        "error",
        "truncated",
        "",
    )
    assert table["fct"][row] != table["fct"][row]
    assert table["path"][row] == "a/7.png"
    assert list(table["split"]).count("clean") == 6
    assert list(table["split"]).count("poisoned") == 3
    assert table["split"][ids.index(39)] == "poisoned"
    assert table["split"][ids.index(5)] == "clean"


@pytest.mark.parametrize("paths", [True, False])
def test_save_and_load_give_the_same_rows(tmp_path: Path, paths: bool) -> None:
    made = scores(paths=paths)
    back = Scores.load(made.save(tmp_path / "scores.parquet"), settings={"draws": 4})
    order = made.ids.argsort()
    assert torch.equal(back.ids, made.ids[order])
    assert torch.equal(back.labels, made.labels[order])
    assert torch.equal(back.fct, made.fct[order])
    assert back.quarantined == made.quarantined
    assert back.paths == (None if not paths else tuple(made.paths[i] for i in order.tolist()))
    assert torch.equal(back.split(0.25, 0.125).poisoned, made.split(0.25, 0.125).poisoned)


def test_any_name_can_be_a_setting(small_set: ImageSet) -> None:
    made = Scores.of(small_set, torch.rand(120), data="print", fct="settings")
    assert made.settings == {"data": "print", "fct": "settings"}


def test_a_foreign_table_and_a_missing_one_are_clear_errors(tmp_path: Path) -> None:
    write_table(tmp_path / "other.parquet", {"id": torch.arange(3).numpy()})
    with pytest.raises(ValueError, match="not a table of FCT scores"):
        Scores.load(tmp_path / "other.parquet")
    with pytest.raises(FileNotFoundError):
        Scores.load(tmp_path / "none.parquet")


def test_lengths_and_ids_are_checked() -> None:
    ids = torch.arange(3)
    with pytest.raises(ValueError, match="length"):
        Scores(ids, ids, torch.zeros(2))
    with pytest.raises(ValueError, match="distinct"):
        Scores(torch.zeros(3, dtype=torch.int64), ids, torch.zeros(3))


def test_suspected_samples_are_kept_and_lead_the_order_of_suspicion(tmp_path: Path) -> None:
    fct = torch.tensor([3.0, 1.0, 2.0, 2.0], dtype=torch.float64)
    suspected = torch.tensor([False, True, False, False])
    scores = Scores(torch.arange(4), torch.zeros(4, dtype=torch.int64), fct, suspected)
    assert scores.suspicion.argsort(stable=True).tolist() == [2, 3, 0, 1]
    assert scores.suspicion[2] == scores.suspicion[3]
    assert scores.split(0.25, 0.25).poisoned.tolist() == [1]
    again = Scores.load(scores.save(tmp_path / "s.parquet"))
    assert again.suspected is not None
    assert torch.equal(again.suspected, suspected)
    assert torch.equal(again.suspicion, scores.suspicion)
    with pytest.raises(ValueError, match="differ in length"):
        Scores(torch.arange(4), torch.zeros(4, dtype=torch.int64), fct, suspected[:3])
