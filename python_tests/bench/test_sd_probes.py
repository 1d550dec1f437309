"""Studies of one kept probe: cross-entropy beside L_intra, and every pair of transformations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fctfast import io
from fctfast.detect import DetectSettings


@pytest.fixture(scope="module")
def bench(scripts: Any, tiny_probe: DetectSettings) -> Iterator[SimpleNamespace]:
    names = ("sd_moments", "sd_anchor", "sd_transforms")
    with scripts(names) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(made.sd_moments, "finer_settings", lambda case: tiny_probe)
        patch.setattr(made.sd_moments, "SAMPLE", 100)
        for module in (made.sd_anchor, made.sd_transforms):
            patch.setattr(module, "settings_of", lambda case: tiny_probe)
        yield made


@pytest.fixture(scope="module")
def kept(bench: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    case = bench.sd_moments.Case("digits", "badnets-all2one", 0.2, 0, 1, limit=200)
    folder: Path = bench.sd_moments.collect(case, "digits", tmp_path_factory.mktemp("study"))
    return folder


def test_a_probe_is_spread_with_and_without_an_anchor(
    bench: SimpleNamespace, kept: Path, tiny_probe: DetectSettings, tmp_path: Path
) -> None:
    given = ["--case", str(kept), "--step", "8", "--source", "digits", "--out", str(tmp_path)]
    assert bench.sd_anchor.main([*given, "--lr", "0.1"]) == 0
    (made,) = tmp_path.glob("*.json")
    assert made.name == f"{kept.name}-step8-lr0.1.json"
    rows = io.read_json(made)["rows"]
    assert [row["weight"] for row in rows] == list(bench.sd_anchor.WEIGHTS)
    assert rows[0] != {**rows[1], "weight": rows[0]["weight"]}
    for row in rows:
        for name in tiny_probe.transforms:
            assert 0 <= row[name]["auroc"] <= 1
            assert len(row[name]["class_separation"]) == 10


def test_every_pair_of_transformations_once(
    bench: SimpleNamespace, kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "pairs.json"
    run = ["--case", str(kept), "--step", "8", "--source", "digits", "--out", str(out)]
    run += ["--samples", "60", "--draws"]
    assert bench.sd_transforms.main([*run, "1"]) == 0
    pairs = io.read_json(out)["pairs"]
    assert len(pairs) == 36
    # A killed run goes on: the pair that is missing is made again, and comes out the same.
    record = io.read_json(out)
    del record["pairs"]["flip+crop"]
    io.write_json(out, record)
    capsys.readouterr()
    assert bench.sd_transforms.main([*run, "1"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["flip+crop"]
    assert io.read_json(out)["pairs"] == pairs
    with pytest.raises(SystemExit, match="is of another run"):
        bench.sd_transforms.main([*run, "2"])
    assert bench.sd_transforms.main(["--table", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"{pairs['rotate+affine']['auroc']:.3f}" in printed
    assert printed.count("\n| rotate |") == len(bench.sd_transforms.MEASURES)


def test_options_that_are_missing_are_named(
    bench: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench.sd_transforms.main(["--step", "8"])
    assert "give --case, --step, --source and --out, or --table" in capsys.readouterr().err
