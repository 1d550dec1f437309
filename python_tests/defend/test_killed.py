"""D-BR and D-ST go on after kill -9, to the same weights."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from fctfast.models import load_model

SCRIPT = """
import sys, time, torch
from fctfast.data import ImageSet
from fctfast.defend import (
    DBR, DST, BaseSettings, ClassifierSettings, DBRConfig, DSTConfig, ExtractorSettings,
    RemovalSettings,
)
from fctfast.detect import DetectSettings, FctSettings, ProbeSettings

from fctfast.train import AugmentSettings, Budget, FitSettings, SGDSettings
from fctfast.train.recipes import ModelSettings

import importlib
loop = importlib.import_module("fctfast.train.fit")

torch.set_num_threads(1)
hang_at = int(sys.argv[2])
saves = 0
save = loop.save_state
def save_and_wait(*args, **kwargs):
    global saves
    save(*args, **kwargs)
    print("saved", flush=True)
    saves += 1
    if saves == hang_at:
        time.sleep(600)
loop.save_state = save_and_wait
g = torch.Generator().manual_seed(4)
labels = torch.arange(120) % 3
images = torch.randint(0, 120, (120, 8, 8, 3), generator=g)
images[torch.arange(120), :, :, labels] += 100
images = images.to(torch.uint8)
data = ImageSet(torch.arange(120), images, labels, ("a", "b", "c"))
small = ModelSettings(width=4)
quick = FitSettings(batch_size=30, sgd=SGDSettings(lr=0.02))
detect = DetectSettings(
    probe=ProbeSettings(network=small, learn=Budget(epochs=4), spread=Budget(epochs=0), fit=quick),
    score=FctSettings(draws=1), alpha_c=0.25, alpha_p=0.1,
)
two = {"budget": Budget(epochs=2), "fit": quick}
defence = {
    "dbr": DBR(
        DBRConfig(detect, base=BaseSettings(network=small, **two), removal=RemovalSettings(**two))
    ),
    "dst": DST(
        DSTConfig(detect, ExtractorSettings(small, projection=8, **two), ClassifierSettings(**two))
    ),
}[sys.argv[3]]
defence.run(data, out=sys.argv[1], device="cpu")
print("done", flush=True)
"""


def start(defence: str, out: Path, hang_at: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out), str(hang_at), defence],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("defence", "result", "weights"),
    [("dbr", "repair.json", "repaired"), ("dst", "secure.json", "secure")],
)
def test_killed_runs_end_with_the_same_weights(
    defence: str, result: str, weights: str, tmp_path: Path
) -> None:
    whole = start(defence, tmp_path / "whole")
    assert whole.communicate(timeout=120)[0].count("saved") == 8
    # kill -9 while the first stage after the audit is under way: after its first checkpoint.
    killed = start(defence, tmp_path / "killed", hang_at=5)
    assert killed.stdout is not None
    for _ in range(5):
        assert killed.stdout.readline() == "saved\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=30)
    killed.stdout.close()
    assert not (tmp_path / "killed" / result).exists()
    rest = start(defence, tmp_path / "killed").communicate(timeout=120)[0]
    assert rest.count("saved") == 3  # nothing that was finished is trained again
    first, second = (
        load_model(tmp_path / run / f"{weights}.safetensors")[0] for run in ("whole", "killed")
    )
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
