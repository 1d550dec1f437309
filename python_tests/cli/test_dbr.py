from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fctfast import io
from fctfast.cli import choices
from fctfast.models import load_model
from fctfast.models.adapters import without_adapter

Invoke = Callable[..., Any]

WATCHED = """
import sys

def hook(event, arguments):
    if event == "open" and str(arguments[0]).endswith("truth.parquet"):
        print("opened", arguments[0], file=sys.stderr, flush=True)

sys.addaudithook(hook)
from fctfast.cli import main
main()
"""


@pytest.fixture(scope="module")
def repaired(poisoned: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, as a program of its own in which every opening of the truth is heard."""
    out = tmp_path_factory.mktemp("dbr") / "run"
    command = ["dbr", "--data-dir", poisoned, "--recipe", tiny, "--out", out, "-q", "--json"]
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == "", "the truth was opened"
    assert json.loads(result.stdout)["repair"]["passes"] == 2
    return out


def test_it_leaves_a_list_and_a_repaired_model(repaired: Path) -> None:
    there = {path.name for path in repaired.iterdir()}
    assert {
        "run.json",
        "metrics.json",
        "suspicious.csv",
        "histogram.png",
        "base.safetensors",
        "repaired.safetensors",
        "history.parquet",
        "detect",
    } <= there
    model, info = load_model(repaired / "repaired.safetensors")
    assert info.num_classes == 10
    assert info.image_size == (16, 16)
    assert not model.training
    history = io.read_table(repaired / "history.parquet")
    assert set(history["fit"]) == {"base", "removal"}


def test_the_repaired_model_can_be_evaluated_and_reported(
    invoke: Invoke, repaired: Path, poisoned: Path
) -> None:
    result = invoke(
        *("evaluate", "--checkpoint", repaired / "repaired.safetensors", "--detection", repaired),
        *("--poisoned", poisoned, "--quiet", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert 0 <= answer["model"]["asr"] <= 1
    assert answer["detection"]["poisoned_samples"] == 27
    shown = invoke("report", repaired)
    assert shown.exit_code == 0, shown.stderr
    assert "Repair" in shown.stdout
    assert "repaired.safetensors" in shown.stdout


def test_checkpoint_skips_base_training_and_detection_is_reused(
    invoke: Invoke, repaired: Path, poisoned: Path, tiny: Path, tmp_path: Path
) -> None:
    """From the same base model and detection, the same repaired weights."""
    out = tmp_path / "run"
    result = invoke(
        *("dbr", "--data-dir", poisoned, "--recipe", tiny, "--out", out, "--quiet"),
        *("--checkpoint", repaired / "base.safetensors", "--detection", repaired),
    )
    assert result.exit_code == 0, result.stderr
    assert not (out / "base-state.safetensors").exists()
    # The audit as it was given, and no probe: none was trained.
    assert (out / "detect" / "scores.parquet").exists()
    assert not list((out / "detect").glob("probe*"))
    again = (out / "repaired.safetensors").read_bytes()
    assert again == (repaired / "repaired.safetensors").read_bytes()


def test_a_detection_is_split_anew(
    invoke: Invoke, repaired: Path, poisoned: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = invoke(
        *("dbr", "--data-dir", poisoned, "--recipe", tiny, "--out", out, "--quiet", "--json"),
        *("--checkpoint", repaired / "base.safetensors", "--detection", repaired),
        *("--alpha-p", 0.1, "--alpha-c", 0.1),
    )
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["split"]["poisoned"] == 30
    assert answer["split"]["clean"] == 30
    assert not answer["repair"]["paper_share"]
    assert len((out / "suspicious.csv").read_text().splitlines()) == 31
    # Another split of the same audit is another run.
    other = invoke(
        *("dbr", "--data-dir", poisoned, "--recipe", tiny, "--out", out, "--quiet"),
        *("--checkpoint", repaired / "base.safetensors", "--detection", repaired),
    )
    assert other.exit_code == 2
    assert "shares" in other.stderr


def test_without_evidence_the_papers_share_is_unlearnt_and_said(
    invoke: Invoke, repaired: Path, poisoned: Path, tiny: Path, tmp_path: Path
) -> None:
    recipe, out = tmp_path / "auto.yaml", tmp_path / "run"
    text = tiny.read_text(encoding="utf-8")
    recipe.write_text(text.replace(", alpha_c: 0.2, alpha_p: 0.05", ""), encoding="utf-8")
    assert recipe.read_text(encoding="utf-8") != text
    command = ("dbr", "--data-dir", poisoned, "--recipe", recipe, "--out", out, "--quiet")
    result = invoke(*command, "--checkpoint", repaired / "base.safetensors")
    assert result.exit_code == 0, result.stderr
    assert "suspicious (D_p)     15, FCT from" in result.stdout
    assert "D_p                      the paper's 5 %, for want of evidence" in result.stdout
    # The files of the run, its report and its evaluation speak of the same D_p.
    assert len((out / "suspicious.csv").read_text().splitlines()) == 16
    shown = invoke("report", out).stdout
    assert "15, FCT from" in shown
    assert "for want of evidence" in shown
    judged = invoke("evaluate", "--detection", out, "--poisoned", poisoned, "--quiet", "--json")
    assert json.loads(judged.stdout)["detection"]["poison_size"] == 15
    audit = invoke("detect", *command[1:-2], tmp_path / "audit", "--quiet").stdout
    assert "suspicious (D_p)     nobody" in audit
    assert re.search(r"D_p +nobody", invoke("report", tmp_path / "audit").stdout)


def test_weights_alone_are_filled_into_the_network_named_and_described(
    invoke: Invoke,
    repaired: Path,
    poisoned: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchvision.models import resnet18

    from fctfast.defend import DBR

    asked: dict[str, Any] = {}

    def stop(self: DBR, data: object, **options: Any) -> None:
        asked.update(options)
        raise ValueError("enough")

    monkeypatch.setattr(DBR, "run", stop)
    network, weights = resnet18(num_classes=10), tmp_path / "w.pth"
    torch.save(network.state_dict(), weights)
    usual = ["dbr", "--data-dir", poisoned, "--recipe", tiny, "--out", tmp_path / "run", "-q"]
    usual += ["--detection", repaired, "--checkpoint", weights]
    said = invoke(*usual).stderr
    assert "name the network with --model" in said
    usual += ["--model", "torchvision:resnet18"]
    said = invoke(*usual, "--mean", "0.5,0.4,0.3", "--std", "0.25,0.25,0.2").stderr
    assert "enough" in said
    info = asked["info"]
    assert (info.arch, info.num_classes, info.image_size) == ("torchvision:resnet18", 10, (16, 16))
    assert (info.mean, info.std) == ((0.5, 0.4, 0.3), (0.25, 0.25, 0.2))
    kept = without_adapter(asked["checkpoint"]).state_dict()
    assert all(torch.equal(kept[name], value) for name, value in network.state_dict().items())
    # The same weights taken for another normalisation are another run.
    assert "other settings" in invoke(*usual, "--mean", "0,0,0", "--std", "1,1,1").stderr


def test_the_width_of_weights_alone_is_theirs(
    invoke: Invoke, repaired: Path, poisoned: Path, tiny: Path, tmp_path: Path
) -> None:
    out, weights = tmp_path / "run", tmp_path / "w.pth"
    base, info = load_model(repaired / "base.safetensors")
    torch.save(base.state_dict(), weights)
    result = invoke(
        *("dbr", "--data-dir", poisoned, "--recipe", tiny, "--out", out, "--quiet"),
        *("--detection", repaired, "--checkpoint", weights, "--model", "resnet18", "--width", 4),
    )
    assert result.exit_code == 0, result.stderr
    assert load_model(out / "base.safetensors")[1] == info
    again = (out / "repaired.safetensors").read_bytes()
    assert again == (repaired / "repaired.safetensors").read_bytes()


def test_the_networks_options_reach_the_probe_only_without_weights(
    invoke: Invoke, poisoned: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With weights alone, --model names their network; the probe keeps the recipe's."""
    asked: list[choices.Asked] = []

    def stop(self: choices.Asked) -> None:
        asked.append(self)
        raise ValueError("enough")

    monkeypatch.setattr(choices.Asked, "load_recipe", stop)
    usual = ("dbr", "--data-dir", poisoned, "--recipe", tiny, "--model", "plain8", "--width", 3)
    invoke(*usual)
    invoke(*usual, "--checkpoint", tmp_path / "w.pth")
    assert [(a.model, a.width) for a in asked] == [("plain8", 3), (None, None)]


def test_ctrl_c_exits_130_and_the_same_command_goes_on(
    repaired: Path, poisoned: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "fctfast", "dbr", "--data-dir", str(poisoned)]
    command += ["--recipe", str(tiny), "--out", str(out), "--quiet"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A suite started in the background by a script hands down that Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 120
    while not (out / "detect" / "probe-state.safetensors").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"is kept in {out}; run the same command again" in stderr
    assert "Traceback" not in stderr
    assert io.read_json(out / "run.json")["status"] == "interrupted"
    subprocess.run(command, check=True, timeout=200)
    for name in ("repaired.safetensors", "detect/scores.parquet"):
        assert (out / name).read_bytes() == (repaired / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--checkpoint", "none.safetensors"), "none.safetensors"),
        (("--checkpoint", "BROKEN"), "broken.safetensors"),
        (("--detection", "nowhere"), "nowhere holds no finished detection"),
        (("--alpha-c", "0"), "D_c is empty"),
        (("--mean", "0.5", "--std", "0.5"), "need --checkpoint and --model"),
        (("--detection", "RUN", "--draws", "2"), "--draws 2 would change nothing"),
        (("--detection", "RUN", "--draws", "2", "--transform", "flip"), "2, --transform flip"),
        (("--detection", "RUN", "--alpha-p", "0.9"), "must not exceed 1, got 0.2 + 0.9"),
        (("--detection", "RUN", "--mode", "published"), "--mode published would change"),
        (("--detection", "RUN", "--mode", "publish"), "mode: expected one of robust, published"),
    ],
)
def test_mistakes_exit_2_with_one_line(
    invoke: Invoke,
    repaired: Path,
    poisoned: Path,
    tiny: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((repaired / "base.safetensors").read_bytes()[:-9])
    files = {"BROKEN": str(broken), "RUN": str(repaired)}
    given = [files.get(a, a) for a in arguments]
    usual = ("dbr", "--data-dir", poisoned, "--recipe", tiny, "--out", tmp_path / "run", "-q")
    result = invoke(*usual, *given)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
