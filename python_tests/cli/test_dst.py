from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fctfast import io
from fctfast.models import load_model

Invoke = Callable[..., Any]


def test_it_trains_a_secure_model_on_an_earlier_audit(
    audited: tuple[Path, Path], tiny: Path, tmp_path: Path, invoke: Invoke
) -> None:
    data, audit = audited
    out = tmp_path / "secure"
    command = ["dst", "--data-dir", data, "--recipe", tiny, "--out", out]
    done = invoke(*command, "--detection", audit, "-q", "--json")
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["secure"]["extractor_passes"] == 1
    assert result["secure"]["classifier_passes"] == 2
    there = {path.name for path in out.iterdir()}
    assert there >= {
        "run.json", "metrics.json", "suspicious.csv", "secure.safetensors", "secure.json",
    }  # fmt: skip
    model, info = load_model(out / "secure.safetensors")
    assert info.num_classes == 10
    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    anew = [*command[:-1], tmp_path / "anew", "--detection", audit, "--alpha-p", 0.1]
    split = json.loads(invoke(*anew, "-q", "--json").stdout)["split"]
    assert (result["split"]["poisoned"], split["poisoned"]) == (15, 30)
    assert not result["secure"]["paper_labels"]
    auto = [*command[:-1], tmp_path / "auto", "--detection", audit, "--alpha-c", "auto"]
    told = invoke(*auto, "-q")
    share = "for want of evidence D_c is the 20% of the set"
    assert share in " ".join(told.stdout.split())
    assert share in io.read_json(tmp_path / "auto" / "metrics.json")["secure"]["paper_labels"]
    # The same command again has nothing to do, and says it to a person.
    again = invoke(*command, "--detection", audit, "-q")
    assert again.exit_code == 0
    assert "Training, D-ST" in again.stdout
    assert "D_p still as labelled" in again.stdout
    reported = invoke("report", out)
    assert reported.exit_code == 0
    assert "Training, D-ST" in reported.stdout
    assert "Audit" in reported.stdout  # the earlier one, as it was split here
    assert "secure.safetensors" in again.stdout
    drawn = invoke("report", out, "--data-dir", data, "--out", tmp_path / "report")
    assert drawn.exit_code == 2
    assert "the probe of this audit is not in" in drawn.stderr
    assert not (tmp_path / "report").exists()
    for folder, flagged in ((out, 15), (tmp_path / "anew", 30)):
        told = invoke("evaluate", "--poisoned", data, "--detection", folder, "--json")
        assert json.loads(told.stdout)["detection"]["poison_size"] == flagged
    # Another loss is another run.
    other = invoke(*command, "--detection", audit, "--lambda-p", "0.5", "-q")
    assert other.exit_code == 2
    assert "config.classifier.lambda_p (0.001 there, 0.5 now)" in other.stderr
    measured = invoke("evaluate", "--poisoned", data, "--checkpoint", out / "secure.safetensors")
    assert measured.exit_code == 0
    assert "ASR" in measured.stdout


def test_it_says_that_nothing_is_forgotten_where_nobody_is_suspected(
    audited: tuple[Path, Path], tiny: Path, tmp_path: Path, invoke: Invoke
) -> None:
    data, audit = audited
    command = ["dst", "--data-dir", data, "--recipe", tiny, "--detection", audit, "--alpha-p", "0"]
    done = invoke(*command, "--out", tmp_path / "out", "-q")
    assert done.exit_code == 0, done.stderr
    assert "--lambda-p weighs nothing" in " ".join(done.stdout.split())
    assert "still as labelled" in done.stdout  # of D_c


@pytest.mark.parametrize("command", ["dbr", "dst"])
def test_a_published_audit_has_no_verdict_to_fail_on(
    poisoned: Path, tiny: Path, tmp_path: Path, invoke: Invoke, command: str
) -> None:
    asked = ["--data-dir", poisoned, "--recipe", tiny, "-q"]
    audit = invoke("detect", *asked, "--mode", "published", "--out", tmp_path / "audit")
    assert audit.exit_code == 0, audit.stderr
    out = tmp_path / "out"
    earlier = ["--detection", tmp_path / "audit", "--fail-on-suspicious", "--out", out]
    done = invoke(command, *asked, *earlier)
    assert done.exit_code == 2
    assert "an audit of --mode published gives no verdict" in done.stderr
    assert not out.exists()


def test_a_baseline_has_no_audit(
    poisoned: Path, tiny: Path, tmp_path: Path, invoke: Invoke
) -> None:
    command = ["dst", "--data-dir", poisoned, "--recipe", tiny, "--extractor", "s-ctl"]
    done = invoke(*command, "--classifier", "ce", "--out", tmp_path / "b2", "-q")
    assert done.exit_code == 0, done.stderr
    assert "Training, Baseline2" in done.stdout
    assert not (tmp_path / "b2" / "detect").exists()
    assert (
        io.read_json(tmp_path / "b2" / "run.json")["settings"]["config"]["extractor"]["learning"]
        == "s-ctl"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--extractor", "simclr"], "--extractor: expected one of ss-ctl, s-ctl, ctl, got"),
        (["--classifier", "mse"], "--classifier: expected one of mce, ce, got 'mse'"),
        (["--lambda-p", "-1"], "lambda_p: expected at least 0"),
        (
            ["--extractor", "ctl", "--classifier", "ce", "--detection", "RUN"],
            "--detection: Baseline1 has no audit",
        ),
        (["--detection", "RUN", "--draws", "2"], "--draws 2 would change nothing"),
        (
            [
                "--extractor",
                "s-ctl",
                "--classifier",
                "ce",
                "--alpha-c",
                "0.3",
                "--mode",
                "published",
                "--fail-on-suspicious",
            ],
            "--mode, --alpha-c, --fail-on-suspicious: Baseline2 has no audit",
        ),
        (["--extractor", "ss-ctl", "--classifier", "ce", "--lambda-p", "1"], "it weighs D_p"),
    ],
)
def test_impossible_options_are_refused_before_anything_is_opened(
    options: list[str], words: str, tiny: Path, tmp_path: Path, invoke: Invoke
) -> None:
    done = invoke("dst", "--data-dir", tmp_path / "nowhere", "--recipe", tiny, *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert not (tmp_path / "runs").exists()


def test_the_size_and_the_precision_asked_for_reach_every_stage(
    poisoned: Path, tiny: Path, tmp_path: Path, invoke: Invoke
) -> None:
    command = ["dst", "--data-dir", poisoned, "--recipe", tiny, "--image-size", "20", "--amp"]
    command += ["--limit", "120"]
    done = invoke(*command, "--out", tmp_path / "run", "-q")
    assert done.exit_code == 0, done.stderr
    config = io.read_json(tmp_path / "run" / "run.json")["settings"]["config"]
    assert (config["image_size"], config["limit"]) == (20, 120)  # not the recipe's 16 and 300
    for stage in ("extractor", "classifier"):
        assert config[stage]["fit"]["precision"] == "bfloat16"
    assert load_model(tmp_path / "run" / "secure.safetensors")[1].image_size == (20, 20)


@pytest.mark.parametrize("command", ["dbr", "dst"])
def test_a_detection_of_other_data_leaves_no_folder_behind(
    invoke: Invoke, audited: tuple[Path, Path], tiny: Path, tmp_path: Path, command: str
) -> None:
    _, run = audited
    out = tmp_path / "out"
    result = invoke(
        command, "--data-dir", "digits", "--recipe", tiny, "--detection", run, "--out", out
    )
    assert result.exit_code == 2
    assert "the detection is of other data than 'digits train'" in result.stderr
    assert not out.exists()  # the right data with the same --out would be refused as another run


@pytest.mark.parametrize("command", ["dbr", "dst"])
@pytest.mark.parametrize("earlier", [False, True])
def test_shares_that_leave_nobody_leave_no_folder_behind(
    invoke: Invoke,
    audited: tuple[Path, Path],
    tiny: Path,
    tmp_path: Path,
    command: str,
    earlier: bool,
) -> None:
    data, run = audited
    out = tmp_path / "out"
    asked = [command, "--data-dir", data, "--recipe", tiny, "--out", out, "--alpha-c", "0"]
    result = invoke(*asked, *(["--detection", run] if earlier else []))
    assert result.exit_code == 2
    assert "D_c is empty" in result.stderr
    assert not out.exists()
