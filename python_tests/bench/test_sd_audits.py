"""Whole audits against the truth, at a tiny size."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from fctfast import io
from fctfast.detect import Detection, DetectSettings, FctSettings, ProbeSettings
from fctfast.train import Budget, FitSettings, SGDSettings
from fctfast.train.recipes import ModelSettings

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture(scope="module")
def audits() -> Iterator[ModuleType]:
    """The script with one plan of three small cases and a probe of a few steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        made = importlib.import_module("sd_audits")
        settings = DetectSettings(
            probe=ProbeSettings(
                network=ModelSettings(width=4), learn=Budget(6), spread=Budget(0),
                fit=FitSettings(batch_size=25, sgd=SGDSettings(lr=0.1)),
            ),
            score=FctSettings(draws=2, over_draws="geometric"), snapshots=2, per_class=15,
            alpha_c=0.2, alpha_p=0.05,
        )  # fmt: skip
        patch.setattr(
            made,
            "settings_of",
            lambda case: settings.published() if case.mode == "published" else settings,
        )
        case = made.Case("digits", "badnets-all2one", 0.2, 3, 1, limit=200)
        clean = made.Case("digits", made.CLEAN, 0.0, 0, 1, limit=200)
        patch.setattr(made, "PLANS", {"judged": [case, clean, replace(case, mode="published")]})
        yield made


def test_rows_judge_the_papers_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCH)
    moments = importlib.import_module("sd_moments")
    settings = moments.settings_of(moments.Case("cifar10", "sig", 0.1, 0, 1))
    assert (settings.alpha_c, settings.alpha_p) == (0.2, 0.05)
    case = moments.Case("cifar10", "sig", 0.1, 0, 1, mode="one-pass")
    probe, now = moments.settings_of(case).probe, settings.probe
    assert (probe.anchor, probe.spread) == (0.0, Budget(1, 156))
    assert replace(probe, anchor=0.3, spread=Budget(3, 468)) == now
    whole = moments.settings_of(replace(case, mode="whole"))
    assert (whole.probe.network.width, whole.alpha_p) == (64, 0.05)


def test_a_plan_becomes_rows_tables_and_a_picture(
    audits: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = ["run", "--plan", "judged", "--work", str(tmp_path / "w"), "--out", str(tmp_path / "o")]
    assert audits.main(run) == 0
    names = sorted(path.stem for path in (tmp_path / "o").glob("*.json"))
    assert names == [
        "digits-badnets-all2one-20pc-t3-s1-n200-published",
        "digits-badnets-all2one-20pc-t3-s1-n200-robust",
        "digits-none-s1-n200-robust",
    ]
    published, robust, clean = (io.read_json(tmp_path / "o" / f"{name}.json") for name in names)
    # The folder holds the case's shares, not those of the automatic split.
    found = Detection.load(tmp_path / "w" / names[1])
    assert (found.split.alpha_c, found.split.alpha_p) == (0.2, 0.05)
    # By hand: D_p of the saved scores against the truth that the case makes again.
    data, poisoned = audits.open_case(audits.PLANS["judged"][0], "digits")
    outside = int(poisoned.sum()) + int((data.labels != 3).sum())
    assert robust["poisoned"] == int(poisoned.sum()) == round(0.2 * outside)
    truth = dict(zip(data.ids.tolist(), poisoned.tolist(), strict=True))
    flagged = [truth[i] for i in found.split.poisoned.tolist()]
    assert robust["split"]["d_p_poisoned"] == sum(flagged) / 10 == robust["alphas_p"]["0.05"]
    taken = {(m["step"], m["transform"]) for m in robust["moments"]}
    assert taken == {(s, t) for s in (40, 48) for t in ("rotate+affine", "flip+crop")}
    assert [e["step"] for e in published["epochs"]] == [2 * n for n in range(1, 13)]
    worth = audits._worth(torch.arange(40.0), torch.arange(40) >= 39)  # two flagged, eight kept
    assert worth == {"auroc": 1.0, "d_p_poisoned": 0.5, "d_c_clean": 1.0}
    assert {"auroc", "d_p_poisoned", "d_c_clean"} <= set(published["epochs"][-1])
    assert clean["verdict"]["evidence"] == "unclear"  # 20 samples a class are too few to test
    assert "auroc" not in clean

    assert audits.main(["table", "--out", str(tmp_path / "o")]) == 0
    assert "without poison" not in capsys.readouterr().out
    clean["verdict"]["class_separation"] = [0.0] * 8 + [None, 2.5]
    robust["verdict"]["class_separation"] = [1.5, 0.0, 0.0, 7.0] + [0.0] * 6
    tables = importlib.import_module("sd_tables")
    *_, null = tables.lay_out([clean, robust, published], audits.PLANS)
    assert null.startswith("digits: 18 classes without poison, final scores; separation 0 in 16;")
    assert null.endswith("1.50, 2.50")
    assert audits.main(["alphas", "--out", str(tmp_path / "o")]) == 0
    assert f"| {names[1]} |" in capsys.readouterr().out
    picture = importlib.import_module("sd_picture")
    png = tmp_path / "a.png"
    drawn = ["--rows", str(tmp_path / "o"), "--data", "digits", "--rate", "0.2", "--out", str(png)]
    assert picture.main(drawn) == 0
    assert png.read_bytes().startswith(b"\x89PNG")

    # Done is done; a row of other settings is not taken for one of these.
    monkeypatch.setattr(audits, "audit", None)
    assert audits.main(run) == 0
    changed = {**robust, "settings": {**robust["settings"], "snapshots": 3}}
    io.write_json(tmp_path / "o" / f"{names[1]}.json", changed)
    with pytest.raises(SystemExit, match=r"other settings: snapshots \(3 there, 2 now\)"):
        audits.main(run)
