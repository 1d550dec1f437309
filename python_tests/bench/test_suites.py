"""The benchmark suites can be started from the checkout, as their README line says."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_every_suite_is_collected() -> None:
    # The script and not `python -m pytest`, which would put the checkout on the path.
    script = Path(sysconfig.get_path("scripts")) / "pytest"
    done = subprocess.run(
        [script, "bench", "--collect-only", "-q"],
        cwd=CHECKOUT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    for suite in (CHECKOUT / "bench").glob("test_*.py"):
        assert suite.name in done.stdout
