"""D-BR goes on after kill -9, to the same weights."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import torch

from fctfast.models import load_model

SCRIPT = """
import sys, time, torch
from fctfast.data import ImageSet
from fctfast.defend import DBR, BaseSettings, DBRConfig, RemovalSettings
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
config = DBRConfig(
    detect=DetectSettings(
        probe=ProbeSettings(
            network=small, learn=Budget(epochs=4), spread=Budget(epochs=0), fit=quick
        ),
        score=FctSettings(draws=1), alpha_c=0.25, alpha_p=0.1,
    ),
    base=BaseSettings(network=small, budget=Budget(epochs=2), fit=quick),
    removal=RemovalSettings(budget=Budget(epochs=2), fit=quick),
)
DBR(config).run(data, out=sys.argv[1], device="cpu")
print("done", flush=True)
"""


def start(out: Path, hang_at: int = 0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(out), str(hang_at)], stdout=subprocess.PIPE, text=True
    )


def test_killed_runs_end_with_the_same_weights(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    assert whole.communicate(timeout=120)[0].count("saved") == 8
    # kill -9 while base training is under way: after its first checkpoint, the fifth.
    killed = start(tmp_path / "killed", hang_at=5)
    assert killed.stdout is not None
    for _ in range(5):
        assert killed.stdout.readline() == "saved\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait(timeout=30)
    killed.stdout.close()
    assert not (tmp_path / "killed" / "repair.json").exists()
    rest = start(tmp_path / "killed").communicate(timeout=120)[0]
    assert rest.count("saved") == 3  # nothing that was finished is trained again
    first = load_model(tmp_path / "whole" / "repaired.safetensors")[0]
    second = load_model(tmp_path / "killed" / "repaired.safetensors")[0]
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
