"""What the studies share: sources that are missing or misspelt, folders without rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

STUDIES = ("sd_audits", "dbr_study", "tables", "attacks_table")


@pytest.fixture(scope="module")
def bench(scripts: Any) -> Iterator[SimpleNamespace]:
    with scripts([*STUDIES, "plan_runs"]) as made:
        yield made


@pytest.mark.parametrize("name", STUDIES)
def test_a_folder_without_rows_is_no_empty_table(
    bench: SimpleNamespace, name: str, tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match=r"nothing: no results \(\*\.json\) here"):
        getattr(bench, name).main(["table", "--out", str(tmp_path / "nothing")])


@pytest.mark.parametrize("name", STUDIES)
def test_a_plan_without_its_data_does_nothing_and_says_so(
    bench: SimpleNamespace, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--work", str(tmp_path / "w"), "--out", str(tmp_path / "o")]
    if name == "dbr_study":
        folders += ["--audits", str(tmp_path)]
    only = ["--only", "cifar10-badnets-all2one-10pc"]
    assert getattr(bench, name).main(["run", "--plan", "judged", *only, *folders]) == 2
    assert "left out, no --source cifar10=PATH" in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.json"))


def test_a_source_is_a_name_and_a_path(
    bench: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench.sd_audits.main(
            ["run", "--plan", "judged", "--source", "cifar10", "--work", "w", "--out", "o"]
        )
    assert "--source: expected DATA=PATH, got 'cifar10'" in capsys.readouterr().err
    sources = bench.plan_runs.Sources([("cifar10", "a=b.zip")])
    assert sources.find("case", "cifar10") == "a=b.zip"
    assert sources.find("case", "digits") == "digits"
    assert sources.find("case", "other") is None
    assert sources.exit_code() == 0  # something was run


def test_a_selection_of_nothing_is_said(
    bench: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--work", str(tmp_path / "w"), "--out", str(tmp_path / "o")]
    run = ["run", "--plan", "judged", "--only", "no-such-case", *folders]
    assert bench.sd_audits.main(run) == 2
    assert "no case of the plan has the text of --only" in capsys.readouterr().err
