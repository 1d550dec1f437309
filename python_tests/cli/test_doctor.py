from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import fctfast
from fctfast.cli import doctor


def test_json_holds_what_a_bug_report_needs(invoke: Callable[..., Any]) -> None:
    result = invoke("doctor", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["versions"]["fctfast"] == fctfast.__version__
    assert found["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["libraries"]["loaded"] is True
    assert found["libraries"]["instruction_set"]
    libraries = found["libraries"]
    assert libraries["cuda_loaded"] or libraries["cuda_reason"], "why not must be told"
    assert found["dali"]["usable"] or found["dali"]["reason"]
    assert len(found["devices"]["gpus"]) == torch.cuda.device_count()


def test_text_is_for_a_person(
    program: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    result = program("doctor", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr == ""
    for heading in ("Versions", "Machine", "Compiled libraries", "Devices"):
        assert f"{heading}\n" in result.stdout


def test_without_the_compiled_ops_it_says_why_and_fails(
    invoke: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"loaded": False, "reason": "no built library is there"}
    monkeypatch.setattr(doctor, "_libraries", lambda: broken)
    result = invoke("doctor")
    assert result.exit_code == 2
    assert "not loaded: no built library is there" in result.stdout
