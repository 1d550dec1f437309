"""A probe trained, scored at moments and under taus, and brought back to what counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fctfast.data import ImageSet
from fctfast.detect.fct import FctResult, fct
from fctfast.detect.probe import train_probe
from fctfast.detect.settings import DetectSettings
from fctfast.detect.snapshots import (
    Snapshot,
    read_snapshot,
    sample_of,
    take_snapshots,
    write_results,
)
from fctfast.train import Progress


class Moments:
    """The moments of one probe's training: scored on a sample, compared, and the one that counts.

    Args:
        images: the suspicious set.
        settings: the SD module written down.
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of all randomness.
        device: where to run.
        progress: where to report.
        folder: where snapshots and checkpoints are kept; None keeps nothing.
    """

    def __init__(
        self,
        images: ImageSet,
        settings: DetectSettings,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        seed: int,
        device: torch.device,
        progress: Progress | None,
        folder: Path | None,
    ) -> None:
        self.images, self.settings, self.folder = images, settings, folder
        self.seed, self.device, self.progress = seed, device, progress
        self.mean, self.std = mean, std
        self.fingerprint = images.fingerprint()
        wanted = settings.probe.moments(images)[-settings.snapshots :]
        # With one of them there is nothing to compare: it scores the set at once.
        single = len(wanted) * len(settings.transforms) == 1
        self.sample = images if single else sample_of(images, settings.per_class, seed)
        self.files = {n: folder / f"snapshot-{n:03d}.safetensors" for n in wanted} if folder else {}
        self.wanted = wanted
        self.identity = {
            "data": self.fingerprint,
            "probe": asdict(settings.probe),
            "score": asdict(settings.score),
            "transforms": list(settings.transforms),
            "per_class": settings.per_class,
            "recompute_batch_norm": settings.recompute_batch_norm,
            "seed": seed,
            "mean": mean,
            "std": std,
        }

    def train(self) -> tuple[nn.Module, list[Snapshot]]:
        """Train the probe and score the sample at each moment that counts, under each tau."""
        taken: dict[int, list[Snapshot]] = {}
        for kept in self.files.values():
            # Before training: a run that goes on with other settings would leave a folder of both.
            if kept.exists():
                read_snapshot(kept, len(self.sample), self.identity)

        def snapshot(model: nn.Module, record: dict[str, Any]) -> None:
            number = record["pass"]
            if number in self.wanted and number not in taken:
                taken[number] = take_snapshots(
                    model,
                    self.images,
                    self.sample,
                    step=record["step"],
                    transforms=self.settings.transforms,
                    mean=self.mean,
                    std=self.std,
                    seed=self.seed,
                    settings=self.settings.score,
                    recompute=self.settings.recompute_batch_norm,
                    device=self.device,
                    progress=self.progress,
                    path=self.files.get(number),
                    identity=self.identity,
                )

        probe, fitted = train_probe(
            self.images,
            self.settings.probe,
            mean=self.mean,
            std=self.std,
            seed=self.seed,
            checkpoint=None if self.folder is None else self.folder / "probe-state.safetensors",
            on_pass=lambda end: snapshot(end.model, end.record),
            progress=self.progress,
            device=self.device,
        )
        for record in fitted.history:
            # Passes that a killed run had finished were scored before their checkpoint was
            # written: their files are there, and no model is run. Only the last pass is the probe
            # at hand.
            file = self.files.get(record["pass"])
            gone = file is not None and record["pass"] not in taken and not file.exists()
            if gone and record["pass"] != self.wanted[-1]:
                raise ValueError(
                    f"{file} is missing, and the probe of that moment is gone; the run had fewer "
                    "snapshots, or the file was deleted: start in a new folder, or delete the "
                    "whole folder"
                )
            snapshot(probe, record)
        return probe, [snapshot for number in sorted(taken) for snapshot in taken[number]]

    def score(self, probe: nn.Module, moment: Snapshot) -> FctResult:
        """Bring the probe back to a moment and score the whole set with it, under that tau."""
        probe.load_state_dict(moment.weights)
        probe.to(self.device)
        if self.sample is self.images:
            return moment.result
        path = (
            None if self.folder is None else self.folder / f"scored-{moment.step:05d}.safetensors"
        )
        identity = {**self.identity, "step": moment.step, "transforms": [moment.transform]}
        if path is not None and path.exists():
            return read_snapshot(path, len(self.images), identity)[0][moment.transform]
        result = fct(
            probe,
            self.images,
            mean=self.mean,
            std=self.std,
            seed=self.seed,
            settings=replace(self.settings.score, transform=moment.transform),
            device=self.device,
            progress=self.progress,
        )
        if path is not None:
            write_results(path, {moment.transform: result}, identity)
        return result
