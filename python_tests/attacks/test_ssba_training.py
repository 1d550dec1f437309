"""How ssba's encoder is made: once, from its seed, resumable, measured on what it has not seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fctfast import attacks, seeding
from fctfast.attacks import stegastamp_training
from fctfast.attacks.stegastamp_training import StampTraining, trained_stamp
from fctfast.data import ImageSet
from fctfast.train.progress import Quiet

Pictures = Callable[..., ImageSet]


def test_an_encoder_is_trained_once_and_from_its_seed_alone(
    pictures: Pictures, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pictures(20, (16, 16), 3)
    how = {"bits": 4, "psnr": 30.0, "settings": StampTraining(steps=3, batch_size=4)}
    first = trained_stamp(data, **how)
    (file,) = (cache / "stegastamps").iterdir()
    written = file.stat().st_mtime_ns
    again = trained_stamp(data, **how)
    assert file.stat().st_mtime_ns == written
    assert torch.equal(again.hide(data.images), first.hide(data.images))
    content = file.read_bytes()
    monkeypatch.setenv("FCTFAST_CACHE", str(tmp_path / "other"))
    trained_stamp(data, **how)
    assert (tmp_path / "other" / "stegastamps" / file.name).read_bytes() == content
    other = trained_stamp(data, **how, seed=1)
    assert not torch.equal(other.hide(data.images), first.hide(data.images))
    trained_stamp(pictures(21, (16, 16), 3), **how)
    assert len(list((tmp_path / "other" / "stegastamps").iterdir())) == 3
    monkeypatch.setenv("FCTFAST_CACHE", str(cache))
    file.write_bytes(content[:-100])
    with pytest.raises(ValueError, match=r"not a readable safetensors file.*delete it, and it is"):
        trained_stamp(data, **how)


def test_what_cannot_be_read_is_said(pictures: Pictures, cache: Path) -> None:
    class Notes(Quiet):
        def __init__(self) -> None:
            self.said: list[str] = []

        def note(self, text: str) -> None:
            self.said.append(text)

    notes, hardly = Notes(), StampTraining(steps=1, batch_size=4)
    data = pictures(60, (16, 16), 3)
    poor = trained_stamp(data, bits=8, psnr=30, settings=hardly, progress=notes)
    assert poor.measured["bits_right"] < 0.95
    assert len(notes.said) == 1
    assert "take fewer bits" in notes.said[0]
    (file,) = (cache / "stegastamps").iterdir()
    made = attacks.poison(data, attacks.get("ssba", model=file), rate=0.5)
    assert made.recipe["measured"] == poor.measured
    assert poor.measured["images"] == 6
    assert poor.measured["least_psnr"] > 29.5


def test_held_back_images_are_not_trained_on(
    pictures: Pictures, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how = {"bits": 4, "psnr": 30.0, "settings": StampTraining(steps=2, batch_size=4)}
    data = pictures(20, (16, 16), 3)
    held = seeding.permutation(20, 0, "ssba-held-back")[:2]
    first = trained_stamp(data, **how)
    data.images[held] = 0
    again = trained_stamp(data, **how)
    assert all(
        torch.equal(a, b)
        for a, b in zip(first.network.parameters(), again.network.parameters(), strict=True)
    )
    assert again.measured != first.measured


class InterruptedAt(Quiet):
    """Ctrl-C when a step is over; keeps where the tasks began."""

    def __init__(self, step: int) -> None:
        self.steps_left = step
        self.began: list[int] = []

    def task(self, description: str, total: int, *, unit: str = "step", done: int = 0) -> Any:
        self.began.append(done)
        return super().task(description, total, unit=unit, done=done)

    def advance(self, steps: int = 1, **facts: float | str) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            raise KeyboardInterrupt


def test_an_interrupted_training_goes_on_to_the_same_bits(
    pictures: Pictures, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stegastamp_training, "KEPT_EVERY", 2)
    data = pictures(20, (16, 16), 3)
    how = {"bits": 4, "psnr": 30.0, "settings": StampTraining(steps=7, batch_size=4)}
    progress = InterruptedAt(5)
    with pytest.raises(KeyboardInterrupt):
        trained_stamp(data, **how, progress=progress)
    (state,) = (cache / "stegastamps").iterdir()
    assert state.name.endswith(".part.safetensors")
    trained_stamp(data, **how, progress=progress)
    assert progress.began == [0, 4]
    (file,) = (cache / "stegastamps").iterdir()
    monkeypatch.setenv("FCTFAST_CACHE", str(tmp_path / "other"))
    trained_stamp(data, **how)
    assert (tmp_path / "other" / "stegastamps" / file.name).read_bytes() == file.read_bytes()
