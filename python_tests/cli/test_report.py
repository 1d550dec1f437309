from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Invoke = Callable[..., Any]


@pytest.mark.parametrize(
    ("folder", "message"),
    [("missing", "is not a folder"), ("empty", "holds no results"), ("damaged", "not valid JSON")],
)
def test_a_folder_without_results_is_an_error(
    invoke: Invoke, tmp_path: Path, folder: str, message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "run.json").write_text("{")
    result = invoke("report", tmp_path / folder)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_report_draws_the_feature_map_of_the_audited_data_alone(
    invoke: Invoke, audited: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = audited
    arguments = ("report", run, "--poisoned", data, "--data-dir")
    drawn = invoke(*arguments, data, "--out", tmp_path / "report")
    assert drawn.exit_code == 0, drawn.stderr
    for picture in ("feature-map.png", "histogram.png", "moments.png"):
        assert (tmp_path / "report" / picture).read_bytes().startswith(b"\x89PNG")
    other = invoke(*arguments, "digits", "--out", tmp_path / "other")
    assert other.exit_code == 2
    assert "is not the data of this audit" in other.stderr
    nowhere = invoke(*arguments, data)
    assert nowhere.exit_code == 2
    assert "give --out as well" in nowhere.stderr
