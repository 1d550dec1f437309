"""Resuming: a run cut short anywhere ends with the bits of an uninterrupted one."""

from __future__ import annotations

import random
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctfast import io
from fctfast.data import ImageSet
from fctfast.train import (
    AugmentSettings,
    Budget,
    FitSettings,
    PassEnd,
    ScheduleSettings,
    SGDSettings,
    Stage,
    cross_entropy,
    fit,
)

Make = Callable[[], nn.Module]
State = Callable[[nn.Module], bytes]


def unlearn(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Ascent, as BR alternates it with descent."""
    return -0.1 * F.cross_entropy(logits, labels)


def _run(model: nn.Module, images: ImageSet, path: Path | None, **other: Any) -> Any:
    crop = AugmentSettings(crop=2, flip=True, rotation=10)
    stages = [
        Stage("base", images, cross_entropy, Budget(epochs=2, min_steps=10), crop),
        Stage("unlearn", images.select(range(20)), unlearn, Budget(epochs=1), crop),
        Stage("relearn", images, cross_entropy, Budget(epochs=1), crop),
    ]
    settings = FitSettings(
        batch_size=16,
        sgd=SGDSettings(lr=0.1, nesterov=True),
        schedule=ScheduleSettings("cosine", per="step"),
        precision="float32",
    )
    given = {"seed": 4, "settings": settings, "stages": stages} | other
    return fit(model, mean=(0.4,) * 3, std=(0.2,) * 3, checkpoint=path, device="cpu", **given)


def _timeless(history: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k != "seconds"} for record in history]


class Cut(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("cut", [0, 1, 2, 3, 4])
def test_a_run_cut_in_any_pass_ends_with_the_same_bits(
    cut: int, every: int, net: Make, images: ImageSet, state: State, tmp_path: Path
) -> None:
    whole = net()
    history = _run(whole, images, None).history
    path = tmp_path / "run.state"

    def kill(end: PassEnd) -> None:
        if end.record["pass"] == cut:
            raise Cut

    with pytest.raises(Cut):
        _run(net(), images, path, on_epoch=kill, checkpoint_every=every)
    model = net()
    fitted = _run(model, images, path)
    assert fitted.resumed_at == cut - cut % every
    assert state(model) == state(whole)
    assert _timeless(fitted.history) == _timeless(history)


def test_a_finished_run_is_loaded_not_repeated(
    net: Make, images: ImageSet, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "run.state"
    first = net()
    history = _run(first, images, path).history
    again = net()
    fitted = _run(again, images, path, on_epoch=lambda end: pytest.fail("a pass ran again"))
    assert state(again) == state(first)
    assert fitted.history == history
    assert fitted.resumed_at == len(history) == 5
    assert not again.training


def test_a_stopped_run_stays_stopped(
    net: Make, images: ImageSet, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "run.state"
    first, again = net(), net()
    _run(first, images, path, on_epoch=lambda end: end.record["pass"] == 1)
    fitted = _run(again, images, path)
    assert fitted.stopped
    assert len(fitted.history) == 2
    assert state(again) == state(first)


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 5}, r"seed \(4 there, 5 now\)"),
        ({"settings": FitSettings(batch_size=32, precision="float32")}, r"settings\.batch_size"),
        ({"stages": []}, r"stages\.0\.name \(base there, nothing now\)"),
    ],
)
def test_other_settings_are_refused_by_name(
    changed: dict[str, Any], named: str, net: Make, images: ImageSet, tmp_path: Path
) -> None:
    path = tmp_path / "run.state"
    _run(net(), images, path)
    with pytest.raises(ValueError, match=rf"run with other settings: .*{named}"):
        _run(net(), images, path, **changed)


def test_other_images_and_other_weights_are_refused(
    net: Make, images: ImageSet, tmp_path: Path
) -> None:
    path = tmp_path / "run.state"
    _run(net(), images, path)
    pixels = images.images.clone()
    pixels[3, 0, 0, 0] ^= 1
    with pytest.raises(ValueError, match=r"stages\.0\.data"):
        _run(net(), images.with_images(pixels, images.labels), path)
    model = net()
    with torch.no_grad():
        model.fc.bias[0] += 1
    with pytest.raises(ValueError, match="initial_weights"):
        _run(model, images, path)


def test_a_damaged_or_foreign_state_is_a_clear_error(
    net: Make, images: ImageSet, tmp_path: Path
) -> None:
    path = tmp_path / "run.state"
    path.write_bytes(b"not a checkpoint at all")
    with pytest.raises(ValueError, match=r"run\.state"):
        _run(net(), images, path)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="expected a training state"):
        _run(net(), images, path)


SCRIPT = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from fctfast.data import ImageSet
from fctfast.models import create_model
from fctfast.train import AugmentSettings, Budget, FitSettings, SGDSettings, Stage, fit
from fctfast import io

rng = torch.Generator().manual_seed(0)
pixels = torch.randint(0, 256, (40, 16, 16, 3), dtype=torch.uint8, generator=rng)
data = ImageSet(torch.arange(40), pixels, torch.arange(40) % 4, ("a", "b", "c", "d"))
model = create_model("resnet18", num_classes=4, width=4)
stage = Stage("base", data, budget=Budget(epochs=12), augment=AugmentSettings(crop=2, flip=True))
fitted = fit(
    model, stage, settings=FitSettings(batch_size=16, sgd=SGDSettings(lr=0.05)), seed=1,
    mean=(0.5,) * 3, std=(0.25,) * 3, checkpoint=sys.argv[1], device="cpu",
    on_epoch=lambda end: time.sleep(float(sys.argv[3])),
)
io.write_tensors(sys.argv[2], model.state_dict(), {"resumed_at": str(fitted.resumed_at)})
"""


def test_kill_9_at_a_random_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)

    def arguments(name: str, nap: str) -> list[str]:
        return [str(script), *(str(tmp_path / f"{name}.{end}") for end in ("state", "result")), nap]

    def finish(name: str) -> tuple[dict[str, Tensor], int]:
        monkeypatch.setattr(sys, "argv", arguments(name, "0"))
        runpy.run_path(str(script))
        tensors, metadata = io.read_tensors(tmp_path / f"{name}.result")
        return tensors, int(metadata["resumed_at"])

    whole, _ = finish("whole")
    state = tmp_path / "cut.state"
    for _ in range(2):
        before = state.stat().st_mtime_ns if state.exists() else 0
        process = subprocess.Popen([sys.executable, *arguments("cut", "0.03")])
        while process.poll() is None and not (state.exists() and state.stat().st_mtime_ns > before):
            time.sleep(0.005)
        # Not seeded: the moment is meant to differ from run to run.
        time.sleep(random.random() * 0.2)
        process.kill()
        process.wait()
    cut, resumed_at = finish("cut")
    assert resumed_at >= 2
    assert whole.keys() == cut.keys()
    assert all(torch.equal(whole[name], cut[name]) for name in whole)
