"""D-ST, stage 1: a feature extractor by contrastive learning.

Which labels it trusts is the choice: those of D_c (SS-CTL), all (S-CTL) or none (CTL).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from fctfast.data import ImageSet
from fctfast.defend.losses import Contrastive
from fctfast.detect.probe import describe
from fctfast.models import as_feature_model
from fctfast.models.adapters import feature_dimension
from fctfast.models.initialise import initialise
from fctfast.ops import semi_supervised_groups
from fctfast.ops.supcon_loss import check_temperatures
from fctfast.seeding import derive_seed
from fctfast.train import (
    Budget,
    FitSettings,
    Fitted,
    Progress,
    ScheduleSettings,
    SGDSettings,
    Stage,
    ViewSettings,
    fit,
)
from fctfast.train.recipes import ModelSettings

LEARNING = ("ss-ctl", "s-ctl", "ctl")


@dataclass(frozen=True)
class ExtractorSettings:
    """Contrastive learning written down; the defaults are the published ones.

    Args:
        network: architecture, width and stem.
        learning: "ss-ctl" (labels of D_c), "s-ctl" (all labels, Baseline2) or "ctl" (none,
            Baseline1).
        projection: width of the projection, behind one hidden layer as wide as the features.
        temperature: t.
        base_temperature: scales the loss by t / base_temperature.
        budget: passes over the data.
        fit: batch size, SGD, schedule.
        views: augmentation.
        chunk: images that go through the network at once, for batches that do not fit into memory;
            the loss compares the whole batch all the same. None: the whole batch.

    Source: paper section 3.3 and appendix C.5; the published code's numbers.
    """

    network: ModelSettings = field(default_factory=ModelSettings)
    learning: str = "ss-ctl"
    projection: int = 128
    temperature: float = 0.1
    base_temperature: float = 0.07
    budget: Budget = field(default_factory=lambda: Budget(epochs=200))
    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            batch_size=512,
            sgd=SGDSettings(lr=0.5, weight_decay=1e-4),
            schedule=ScheduleSettings("warmup-cosine", warmup_epochs=10, final=1e-3),
        )
    )
    views: ViewSettings = field(default_factory=ViewSettings)
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.learning not in LEARNING:
            raise ValueError(
                f"learning: expected one of {', '.join(LEARNING)}, got {self.learning!r}"
            )
        if not isinstance(self.projection, int) or self.projection < 1:
            raise ValueError(
                f"projection: expected a whole number of at least 1, got {self.projection}"
            )
        check_temperatures(self.temperature, self.base_temperature)
        if self.chunk is not None and self.chunk < 2:
            raise ValueError(f"chunk: expected at least 2 images, got {self.chunk}")
        if self.views.views < 2:
            raise ValueError(
                f"views: expected at least 2, which the loss compares, got {self.views.views}"
            )


class Projected(nn.Module):
    """A feature model with a projection in the place of its classifier.

    Args:
        network: feature model; its own classifier rests.
        width: of its features.
        projection: of the output.
    """

    def __init__(self, network: nn.Module, width: int, projection: int) -> None:
        super().__init__()
        self.network = network
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, projection)
        )

    def features(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to features ``[B, D]``."""
        made: Tensor = self.network.features(x)  # type: ignore[operator]  # any module with it
        return made

    def classify(self, features: Tensor) -> Tensor:
        """Map features ``[B, D]`` to projections ``[B, projection]``, not normalised."""
        made: Tensor = self.head(features)
        return made

    def forward(self, x: Tensor) -> Tensor:
        """Map float ``[B, C, H, W]`` to projections."""
        return self.classify(self.features(x))


def train_extractor(
    data: ImageSet,
    settings: ExtractorSettings,
    clean: Tensor | None = None,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    seed: int = 0,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    device: str | torch.device = "auto",
) -> tuple[nn.Module, Fitted]:
    """Train a network's features; its classifier keeps its first weights.

    Args:
        data: the suspicious set, all of it.
        settings: network, loss, budget, augmentation.
        clean: bool [N], True in D_c; needed for "ss-ctl".
        mean: per channel, in [0, 1] units.
        std: per channel.
        seed: key of initial weights, order and augmentation.
        checkpoint: file to resume from after each pass; default none.
        progress: where to report.
        device: "auto" or a torch device.

    Returns:
        The network in eval mode, last epoch, and its history.

    Raises:
        ValueError: "ss-ctl" without clean.

    Source: paper Eq. 2 and Algorithm 3, line 2.
    """
    network = describe(settings.network, data, mean, std).build(seed=derive_seed(seed, "extractor"))
    network = as_feature_model(network)
    blank = torch.zeros(1, data.channels, *data.image_size)
    model = Projected(network, feature_dimension(network, blank), settings.projection)
    initialise(model.head, derive_seed(seed, "projection"))
    fitted = fit(
        model,
        Stage(
            settings.learning,
            data,
            Contrastive(settings.temperature, settings.base_temperature),
            settings.budget,
            settings.views,
            groups_of(data, settings.learning, clean),
            settings.chunk,
        ),
        settings=settings.fit,
        mean=mean,
        std=std,
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
        label="extractor",
        device=device,
    )
    return network.eval(), fitted


def groups_of(data: ImageSet, learning: str, clean: Tensor | None) -> Tensor:
    """Which samples attract each other.

    Args:
        data: labels and ids.
        learning: "ss-ctl", "s-ctl" or "ctl".
        clean: bool [N], True in D_c.

    Returns:
        int64 [N]: the label, or a negative number of the sample's own.

    Raises:
        ValueError: "ss-ctl" without clean.
    """
    if learning == "ss-ctl" and clean is None:
        raise ValueError("ss-ctl: expected clean, which samples are in D_c, got None")
    if learning != "ss-ctl" or clean is None:
        clean = torch.full((len(data),), learning == "s-ctl")
    return semi_supervised_groups(data.labels, clean, views=1, ids=data.ids)
