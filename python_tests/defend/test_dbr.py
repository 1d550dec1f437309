"""Facts about D-BR as a whole: repeatable, resumable after kill -9, starts from what is given."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.defend import DBR, DBRConfig, Repaired, dbr
from fctfast.detect import Detection
from fctfast.models import load_model, save_model


def weights(model: nn.Module) -> list[torch.Tensor]:
    return list(model.state_dict().values())


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


@pytest.fixture(scope="module")
def finished(
    small_set: ImageSet, config: DBRConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Repaired, Path]:
    out = tmp_path_factory.mktemp("dbr")
    return DBR(config).run(small_set, out=out, seed=2), out


def test_the_same_seed_gives_the_same_weights_without_a_folder_too(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path]
) -> None:
    again = DBR(config).run(small_set, seed=2)
    assert same(again.model, finished[0].model)
    assert again.paths == {}


def test_what_is_written_loads_and_the_last_round_is_kept(
    finished: tuple[Repaired, Path],
) -> None:
    repaired, out = finished
    model, info = load_model(out / "repaired.safetensors")
    assert same(model, repaired.model)
    assert info == repaired.info
    base, _ = load_model(out / "base.safetensors")
    assert not same(base, repaired.model)
    assert repaired.rounds == 2
    assert [r["stage"] for r in repaired.history["removal"]] == ["unlearn", "relearn"] * 2
    assert torch.equal(
        Detection.load(out / "detect").split.poisoned, repaired.detection.split.poisoned
    )


def test_a_checkpoint_and_a_detection_replace_their_stages(
    small_set: ImageSet,
    config: DBRConfig,
    finished: tuple[Repaired, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, out = finished
    monkeypatch.setattr(dbr, "train_base", None)
    monkeypatch.setattr(dbr, "detect", None)
    again = DBR(config).run(
        small_set, checkpoint=out / "base.safetensors", detection=out / "detect", seed=2
    )
    assert same(again.model, finished[0].model)
    assert again.history["base"] == []


def test_a_module_of_the_users_own_is_repaired(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path]
) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 3))
    repaired = DBR(config).run(small_set, checkpoint=model, detection=finished[0].detection)
    assert repaired.info.arch == "custom"
    assert repaired.model is model


def test_what_does_not_fit_is_refused(
    small_set: ImageSet, config: DBRConfig, finished: tuple[Repaired, Path], tmp_path: Path
) -> None:
    repaired, _ = finished
    with pytest.raises(ValueError, match="of other data"):
        DBR(config).run(small_set.select(torch.arange(60)), detection=repaired.detection)
    other = ImageSet(
        ids=small_set.ids,
        images=small_set.images,
        labels=small_set.labels,
        class_names=("a", "b", "c", "d"),
    )
    save_model(tmp_path / "m.safetensors", repaired.model, repaired.info)
    with pytest.raises(ValueError, match="3 classes"):
        DBR(config).run(other, checkpoint=tmp_path / "m.safetensors")
    with pytest.raises(FileNotFoundError):
        DBR(config).run(small_set, checkpoint=tmp_path / "none.safetensors")


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
    removal=RemovalSettings(rounds=1, fit=quick, stop=None),
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
    assert same(first, second)
