"""The SD study at a tiny size: moments are kept once, and rows are computed from them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from fctfast import io
from fctfast.detect import DetectSettings

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def study(tiny_probe: DetectSettings) -> Iterator[dict[str, ModuleType]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        names = ("sd_moments", "sd_rows", "sd_study")
        modules = {name: importlib.import_module(name) for name in names}
        patch.setattr(modules["sd_moments"], "finer_settings", lambda case: tiny_probe)
        patch.setattr(modules["sd_moments"], "SAMPLE", 120)
        yield modules


def test_a_case_becomes_rows_and_a_table(
    study: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = study["sd_moments"]
    case = moments.Case("digits", "badnets-all2one", 0.2, 0, 1, limit=200)
    folder = moments.collect(case, "digits", tmp_path)
    assert folder.name == "digits-badnets-all2one-20pc-t0-s1-n200-robust"
    kept = {path.name: path.read_bytes() for path in folder.glob("*-0*.safetensors")}
    steps = (4, 8, 12)
    expected = {f"{k}-{s:05d}.safetensors" for k in ("moment", "weights") for s in steps}
    assert set(kept) == expected
    clean = moments.Case("digits", moments.CLEAN, 0.0, 0, 1, limit=200)
    moments.collect(clean, "digits", tmp_path)

    out = tmp_path / "out"
    assert study["sd_study"].main(["rows", "--work", str(tmp_path), "--out", str(out)]) == 0
    record = io.read_json(out / f"{folder.name}.json")
    assert record["sample"] == 120
    assert [row["stage"] for row in record["moments"]] == ["probe", "probe", "spread"]
    truth, _ = io.read_tensors(folder / "truth.safetensors")
    tensors, _ = io.read_tensors(folder / "moment-00012.safetensors")
    row = record["moments"][-1]
    d = (tensors["features"][1:] - tensors["features"][:1]).double().square().sum(-1).mean(0)
    pairs = d[truth["poisoned"]][:, None] - d[~truth["poisoned"]][None]
    auroc = float(((pairs > 0).double() + (pairs == 0).double() / 2).mean())
    assert row["scores"]["mean"]["auroc"] == pytest.approx(auroc)
    untouched = io.read_json(out / f"{clean.name}.json")["moments"]
    assert all("scores" not in moment for moment in untouched)
    assert study["sd_study"].main(["table", "--out", str(out)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2 + 3 + 3 + 1 + 2 + 1  # the unpoisoned case has no D_p to judge
    clearest = max(record["moments"], key=lambda moment: moment["separation"])
    d_p = clearest["scores"]["geometric, suspected first"]["d_p_poisoned"]
    assert printed[-1].startswith(f"| {folder.name} | {clearest['step']}, {d_p:.3f} |")

    # What is there is not made again; what was lost comes out the same.
    lost = folder / "moment-00008.safetensors"
    lost.unlink()
    (folder / "probe-state.safetensors").unlink()
    times = {path: path.stat().st_mtime_ns for path in folder.glob("moment-*")}
    moments.collect(case, "digits", tmp_path)
    made, _ = io.read_tensors(lost)
    (tmp_path / "kept.safetensors").write_bytes(kept[lost.name])
    assert torch.equal(
        made["features"], io.read_tensors(tmp_path / "kept.safetensors")[0]["features"]
    )
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_tuning_cases_keep_off_the_judged_seeds(study: dict[str, ModuleType]) -> None:
    cases = list(study["sd_study"].tuning())
    assert {case.seed for case in cases} == {0, 1, 2}
    assert {case.target for case in cases} == {0}
    assert {case.data for case in cases} == {"cifar10", "digits"}
    assert len({case.name for case in cases}) == len(cases)
