"""D-BR pass by pass, at a tiny size."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from fctfast import io
from fctfast.defend import BaseSettings, DBRConfig, RemovalSettings
from fctfast.detect import DetectSettings, FctSettings, ProbeSettings, detect
from fctfast.train import Budget, FitSettings, SGDSettings
from fctfast.train.recipes import ModelSettings

BENCH = Path(__file__).resolve().parents[2] / "bench"
FIT = FitSettings(batch_size=25, sgd=SGDSettings(lr=0.05))
NETWORK = ModelSettings(name="plain8", width=4)


@pytest.fixture(scope="module")
def study() -> Iterator[ModuleType]:
    """The script with two small cases."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        made = importlib.import_module("dbr_study")
        config = DBRConfig(
            detect=DetectSettings(
                probe=ProbeSettings(network=NETWORK, learn=Budget(8), spread=Budget(0), fit=FIT),
                score=FctSettings(draws=2, over_draws="geometric"), snapshots=1,
                mean=(0.5, 0.5, 0.5), std=(0.3, 0.3, 0.3),
            ),
            base=BaseSettings(network=NETWORK, budget=Budget(3), fit=FIT),
            removal=RemovalSettings(fit=replace(FIT, sgd=SGDSettings(lr=0.01))),
        )  # fmt: skip
        patch.setattr(made.DBRConfig, "from_recipe", lambda _: config)
        short = replace(made.ROUNDS, budget=Budget(2), fit=config.removal.fit)
        for name in ("rounds", "unlearn", "relearn"):
            patch.setitem(made.VARIANTS, name, replace(made.VARIANTS[name], removal=short))
        case = made.Case("digits", "badnets-all2one", 0.2, 3, 1, limit=200)
        clean = made.Case("digits", made.CLEAN, 0.0, 3, 1, limit=200)
        patch.setattr(made, "PLANS", {"judged": [case], "clean-judged": [clean]})
        yield made


def test_a_case_becomes_curves_a_table_and_a_picture(
    study: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = study.PLANS["judged"][0]
    data, _ = study.open_case(case, "digits")
    config = study.DBRConfig.from_recipe(None)
    found = detect(data, settings=config.detect, seed=1, out=tmp_path / "audits" / case.name)
    run = [
        "run", "--source", "digits=digits", "--audits", str(tmp_path / "audits"), "--test-images",
        "60", "--work", str(tmp_path / "w"), "--out", str(tmp_path / "o"),
    ]  # fmt: skip
    plan = [*run, "--plan", "judged", "--variants"]
    assert study.main([*plan, "paper", "unlearn"]) == 0
    (result,) = (tmp_path / "o").glob("*.json")
    row = io.read_json(result)
    assert set(row["curves"]) == {"paper", "unlearn"}
    assert row["parts"]["paper"] == {"d_p": 10, "d_c": 40}
    assert [len(curve) for curve in row["curves"].values()] == [4, 3]
    # Before BR every variant is the base model; unlearning alone never sees D_c.
    paper, unlearn = row["curves"]["paper"], row["curves"]["unlearn"]
    assert paper[0] == unlearn[0]
    assert paper[1] != unlearn[1]

    # What is there stays; what is missing is added, and changes nothing of the rest.
    before = result.stat().st_mtime_ns
    assert study.main([*plan, "paper"]) == 0
    assert result.stat().st_mtime_ns == before
    assert study.main([*plan, "paper", "rounds", "relearn"]) == 0
    curves = io.read_json(result)["curves"]
    assert curves["paper"] == paper
    assert set(curves) == {"paper", "unlearn", "rounds", "relearn"}
    assert len({str(curve[-1]) for curve in curves.values()}) == 4

    # Shares "auto" are those of an audit that was asked for them.
    auto = detect(
        data, settings=config.detect, seed=1, out=tmp_path / "audits" / case.name,
        alpha_c="auto", alpha_p="auto",
    )  # fmt: skip
    assert found.resplit("auto", "auto").split.summary() == auto.split.summary()

    # A plan may bring variants of its own.
    assert set(study.PLANNED["alphas"]) < set(study.VARIANTS)
    monkeypatch.setitem(study.PLANS, "alphas", [case])
    monkeypatch.setitem(study.PLANNED, "alphas", ("alpha_c=0.4", "alpha_p=0.2"))
    other = [*run[:-1], str(tmp_path / "alphas"), "--plan", "alphas"]
    assert study.main(other) == 0
    assert io.read_json(tmp_path / "alphas" / result.name)["parts"] == {
        "alpha_c=0.4": {"d_p": 10, "d_c": 80}, "alpha_p=0.2": {"d_p": 40, "d_c": 40}
    }  # fmt: skip

    assert study.main([*run, "--plan", "clean-judged"]) == 0
    assert study.main(["table", "--out", str(tmp_path / "o")]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 6
    asr = io.read_json(tmp_path / "o" / "digits-none-s1-n200-robust-t3.json")["clean"][case.attack]
    assert all(line.endswith(f"| {100 * asr['asr']:.1f} |") for line in table[2:])
    picture = importlib.import_module("dbr_picture")
    png = tmp_path / "a.png"
    for folder in ("o", "alphas"):  # variants that have a title, and others
        assert picture.main(["--rows", str(tmp_path / folder), "--out", str(png)]) == 0
    assert png.read_bytes().startswith(b"\x89PNG")

    assert {name: made["method"] for name, made in row["removal"].items()} == {
        "paper": "joint", "unlearn": "alternate"
    }  # fmt: skip
    row["removal"]["unlearn"]["budget"]["epochs"] = 5
    io.write_json(result, row)
    with pytest.raises(SystemExit, match=r"settings: unlearn.budget.epochs \(5 there, 2 now\)"):
        study.main([*plan, "relearn"])
    monkeypatch.setattr(study, "repair", None)
    io.write_json(result, {**row, "curves": {}, "removal": {}})
    with pytest.raises(TypeError):  # a row without curves is not taken for a finished one
        study.main([*plan, "paper"])


def test_auto_without_evidence_and_what_is_refused(study: ModuleType, tmp_path: Path) -> None:
    case = study.PLANS["judged"][0]
    data, _ = study.open_case(case, "digits")
    settings = study.DBRConfig.from_recipe(None).detect
    run = [
        "run", "--source", "digits=digits", "--work", str(tmp_path / "w"), "--plan", "judged",
        "--out", str(tmp_path / "o"), "--variants", "auto", "--test-images",
    ]  # fmt: skip
    audits = ["--audits", str(tmp_path / "audits")]
    with pytest.raises(SystemExit, match=r"no audit of this set; make it with sd_audits\.py"):
        study.main([*run, "60", *audits])
    assert not (tmp_path / "w" / case.name / "base-state.safetensors").exists()

    # Without evidence "auto" repairs with the paper's D_p, as D-BR does.
    found = detect(data, settings=settings, seed=1, out=tmp_path / "audits" / case.name)
    assert found.rate is None
    assert study.main([*run, "60", *audits]) == 0
    (result,) = (tmp_path / "o").glob("*.json")
    assert io.read_json(result)["parts"]["auto"] == {"d_p": 10, "d_c": 40}
    audit = io.read_json(result)["audit"]
    assert audit["verdict"]["evidence"] == "no"
    assert audit["settings"]["probe"]["network"]["name"] == "plain8"
    with pytest.raises(SystemExit, match="of 60 test images, not of 50: move it away"):
        study.main([*run, "50", *audits])

    detect(data, settings=settings, seed=2, out=tmp_path / "again" / case.name)
    more = [*run[:-2], "auto", "paper", "--test-images", "60", "--audits", str(tmp_path / "again")]
    with pytest.raises(SystemExit, match="curves of another audit; move the row away"):
        study.main(more)
