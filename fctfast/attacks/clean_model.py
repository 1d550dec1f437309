"""A network trained on the user's clean images, for attacks that need one; made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import nn

from fctfast.data import ImageSet
from fctfast.data.statistics import channel_statistics
from fctfast.models import ModelInfo, load_model, save_model
from fctfast.seeding import derive_seed
from fctfast.train import (
    AugmentSettings,
    Budget,
    FitSettings,
    Progress,
    ScheduleSettings,
    SGDSettings,
    Stage,
    fit,
)

FORMAT = 1


@dataclass(frozen=True)
class CleanModelSettings:
    """The network and its training.

    Args:
        name: of the network, default "resnet18".
        width: channels of its first stage, default 16: the attacker need not spend more.
        budget: default ten passes, 300 steps at least.
        fit: batch size, SGD, schedule.
        augment: random crop and flip.
    """

    name: str = "resnet18"
    width: int = 16
    budget: Budget = field(default_factory=lambda: Budget(epochs=10, min_steps=300))
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            sgd=SGDSettings(lr=0.05, nesterov=True),
            schedule=ScheduleSettings("cosine", per="step"),
        )
    )
    augment: AugmentSettings = field(default_factory=lambda: AugmentSettings(crop=4, flip=True))


def cache_folder() -> Path:
    """Where made networks are kept: FCTFAST_CACHE, or fctfast in the user's cache folder."""
    given = os.environ.get("FCTFAST_CACHE")
    if given:
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "fctfast"


def clean_model(
    data: ImageSet,
    settings: CleanModelSettings | None = None,
    *,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[nn.Module, ModelInfo]:
    """Train a classifier on a clean set, or read the one that was trained on it before.

    Args:
        data: clean images and labels.
        settings: default :class:`CleanModelSettings`.
        seed: key of initial weights, order and augmentation.
        progress: where to report.

    Returns:
        The network in eval mode on the CPU, and its description. Files lie in
        :func:`cache_folder`, named by a hash of the images, the settings and the seed; a training
        that was killed goes on from its last pass.

    Raises:
        ValueError: the kept file is damaged.
    """
    settings = settings or CleanModelSettings()
    asked = [FORMAT, data.fingerprint(), asdict(settings), seed]
    key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:24]
    folder = cache_folder() / "clean-models"
    file, state = folder / f"{key}.safetensors", folder / f"{key}-state.safetensors"
    if file.exists():
        try:
            return load_model(file)
        except ValueError as error:
            raise ValueError(f"{error} (delete it, and it is made again)") from error
    folder.mkdir(parents=True, exist_ok=True)
    mean, std = channel_statistics(data.images)
    info = ModelInfo(
        arch=settings.name, num_classes=data.num_classes, width=settings.width,
        in_channels=data.channels, image_size=data.image_size, mean=mean, std=std,
        class_names=data.class_names,
    )  # fmt: skip
    model = info.build(seed=derive_seed(seed, "clean-model"))
    fit(
        model, Stage("clean", data, budget=settings.budget, augment=settings.augment),
        settings=settings.fit, mean=mean, std=std, seed=seed, checkpoint=state, progress=progress,
        label="clean model",
    )  # fmt: skip
    save_model(file, model.cpu(), info)
    state.unlink(missing_ok=True)
    return model, info
