"""The tables of D-ST and its baselines, at a tiny size."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from fctfast import io
from fctfast.defend import ClassifierSettings, DSTConfig, ExtractorSettings
from fctfast.detect import DetectSettings, FctSettings, ProbeSettings
from fctfast.train import Budget, FitSettings, SGDSettings
from fctfast.train.recipes import ModelSettings

BENCH = Path(__file__).resolve().parents[2] / "bench"
FIT = FitSettings(batch_size=25, sgd=SGDSettings(lr=0.05))
NETWORK = ModelSettings(name="plain8", width=4)


def test_runs_become_rows_and_rows_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCH)
    tables = importlib.import_module("tables")
    config = DSTConfig(
        detect=DetectSettings(
            probe=ProbeSettings(network=NETWORK, learn=Budget(8), spread=Budget(0), fit=FIT),
            score=FctSettings(draws=2, over_draws="geometric"), snapshots=1,
        ),
        extractor=ExtractorSettings(network=NETWORK, projection=8, budget=Budget(1), fit=FIT),
        classifier=ClassifierSettings(budget=Budget(2), fit=FIT),
    )  # fmt: skip
    monkeypatch.setattr(tables.DSTConfig, "from_recipe", lambda _: config)
    case = tables.Case("digits", "badnets-all2one", 0.2, 3, 1, limit=200)
    clean = tables.Case("digits", tables.CLEAN, 0.0, 3, 1, limit=200)
    monkeypatch.setattr(tables, "PLANS", {"judged": [case], "lambda": [case], "clean": [clean]})
    out = ["--work", str(tmp_path / "w"), "--out", str(tmp_path / "o"), "--test-images", "60"]
    run = ["run", *out, "--plan"]
    assert tables.main([*run, "judged"]) == 0
    rows = {path.stem: io.read_json(path) for path in (tmp_path / "o").glob("*.json")}
    assert len(rows) == 6
    secure = rows[f"{case.name}-t3-ss-ctl-mce"]
    # So small a set shows no evidence, and "auto" flags nobody.
    assert secure["settings"]["extractor"]["learning"] == "ss-ctl"
    assert secure["settings"]["detect"]["alpha_p"] == "auto"
    assert secure["evidence"] == "no"
    assert secure["d_p_poisoned"] is None
    assert 0 <= secure["d_c_clean"] <= 1
    assert secure["test"]["badnets-all2one"]["test_samples"] == 60
    baseline = rows[f"{case.name}-t3-s-ctl-ce"]
    assert baseline["evidence"] is None  # it needs no audit
    assert rows[f"{case.name}-t3-s-ctl-mce"]["evidence"] == "no"
    # The classifiers of one extractor start from the same features.
    assert secure["loss"] == rows[f"{case.name}-t3-ss-ctl-ce"]["loss"]
    assert secure["loss"] != rows[f"{case.name}-t3-ctl-mce"]["loss"]
    assert tables.main([*run, "lambda"]) == 0
    assert tables.main([*run, "clean"]) == 0
    # Weight .001 of the sweep is the run of the table.
    swept = io.read_json(tmp_path / "o" / f"{case.name}-t3-ss-ctl-mce-lambda0.001.json")
    assert swept["test"] == secure["test"]
    usual, more = (
        io.read_json(tmp_path / "o" / f"{clean.name}-t3-ss-ctl-mce{name}.json")
        for name in ("", "-dc0.85")
    )
    assert more["settings"]["detect"]["alpha_c"] == 0.85
    assert more["loss"] != usual["loss"]  # of the same audit
    only = ["--only", "ss-ctl-mce"]
    assert tables.main([*run, "judged", *only, "--crop", "0.8", "--epochs", "2"]) == 0
    cropped = io.read_json(tmp_path / "o" / f"{case.name}-t3-ss-ctl-mce-crop0.8-epochs2.json")
    assert cropped["settings"]["extractor"]["views"]["scale"] == [0.8, 1.0]
    assert cropped["settings"]["extractor"]["budget"]["epochs"] == 2
    assert cropped["loss"] != secure["loss"]
    monkeypatch.setattr(tables, "Bench", None)
    assert tables.main([*run, "judged"]) == 0  # done is done
    assert tables.main(["table", "--out", str(tmp_path / "o")]) == 0
    printed = capsys.readouterr().out
    assert "| digits, 200, target 3, badnets-all2one, 20 % | D-ST, float32 | 1 |" in printed
    for line in (
        "badnets-all2one, 20 % | Baseline2 (S-CTL + CE), float32 | 1 |",
        "blend-signal, no poison | D-ST, float32 | 1 |",
        "blend-signal, no poison | D-ST, D_c 0.85, float32 | 1 |",
        "D-ST, lambda_p 1, float32 ",
        "D-ST, crops from 0.8, 2 epochs, float32 | 1 |",
    ):
        assert line in printed
    changed = replace(config, classifier=replace(config.classifier, budget=Budget(3)))
    monkeypatch.setattr(tables.DSTConfig, "from_recipe", lambda _: changed)
    with pytest.raises(SystemExit, match=r"classifier.budget.epochs \(2 there, 3 now\)"):
        tables.main([*run, "judged"])
