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
