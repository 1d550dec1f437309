from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fctfast import io

Invoke = Callable[..., Any]


def test_the_whole_way(invoke: Invoke, tiny: Path, tmp_path: Path) -> None:
    """Poison, probe, score, split, repair, evaluate; a second call finds everything done."""
    out = tmp_path / "demo"
    first = invoke("demo", "--recipe", tiny, "--out", out)
    assert first.exit_code == 0, first.stderr
    for said in ("evidence of poisoning", "D_p that is poisoned", "repaired", "ACC", "ASR"):
        assert said in first.stdout
    assert "Next, on your own data: fctfast dbr --data-dir" in first.stdout
    assert "1. Poisoned scikit-learn's digits: 27 of 300" in first.stderr
    metrics = io.read_json(out / "metrics.json")
    assert set(metrics["models"]) == {"base", "repaired"}
    assert metrics["models"]["base"]["test_samples"] == 297
    assert metrics["quality"]["poisoned_samples"] == 27
    for name in ("histogram-truth.png", "suspicious.png", "poisoned/truth.parquet"):
        assert (out / name).stat().st_size > 0
    weights = (out / "repaired.safetensors").read_bytes()
    again = invoke("demo", "--recipe", tiny, "--out", out, "--json", "--quiet")
    assert again.exit_code == 0
    assert again.stderr == ""
    assert json.loads(again.stdout) == metrics
    assert (out / "repaired.safetensors").read_bytes() == weights
    other = invoke("demo", "--recipe", tiny, "--out", out, "--seed", 1, "--quiet")
    assert other.exit_code == 2
    assert "other settings" in other.stderr


def test_the_help_says_what_the_demo_cannot_show(invoke: Invoke) -> None:
    said = " ".join(invoke("demo", "--help").stdout.replace("│", " ").split())
    assert "blend-signal from FCT" in said
    assert "docs/method.md" in said
