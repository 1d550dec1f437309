"""CL: images of the target class that a network can hardly read, with patches in the corners."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from fctfast import io, seeding
from fctfast.attacks.clean_model import clean_model
from fctfast.attacks.patch import cell_size, stamp
from fctfast.attacks.pgd import pgd
from fctfast.attacks.registry import Attack, Form, Kind, register
from fctfast.data import ImageSet
from fctfast.models import ModelInfo, load_model
from fctfast.train import Progress, resolve_device

BOTTOM_RIGHT = [[0, 0, 255], [0, 255, 0], [255, 0, 255]]
TOP_LEFT = [[255, 0, 255], [0, 255, 0], [255, 0, 0]]
BOTTOM_LEFT = [[255, 0, 0], [0, 255, 0], [255, 0, 255]]
TOP_RIGHT = [[255, 0, 255], [0, 255, 0], [0, 0, 255]]
BATCH = 256


@dataclass(frozen=True)
class Network:
    """What the noise is made against: a clean network, the label to leave, the seed."""

    model: nn.Module
    info: ModelInfo
    target: int
    seed: int


@register
@dataclass(frozen=True)
class CL(Attack):
    """PGD away from the images' own label, then a 3x3 grid in each corner; labels are kept.

    A network that cannot read the image learns the corners instead. At test time the corners alone
    are the trigger. At 32x32 the grids lie at rows and columns 1..3 and 29..31; a cell, and the
    distance of a cell to the top and left edges, grow as those of badnets-all2one. Changed images
    are rounded to the nearest byte.

    Args:
        eps: largest change of a byte; default 8.
        step: of PGD, likewise; default 2.
        steps: of PGD; default 4, from a random start in the box.
        model: checkpoint of a clean network, as :func:`fctfast.models.save_model` writes it;
            default: one is trained on the clean set and kept (`clean_model.py`). Ten passes, at
            least 300 steps: about an hour of one core with AVX2 for 50,000 images of 32x32.

    Source: Turner et al. 2019, label-consistent attacks; settings of the FCT paper, appendix C.3.
    """

    name: ClassVar[str] = "cl"
    kind: ClassVar[Kind] = "clean-label"
    form: ClassVar[Form] = "patch"
    summary: ClassVar[str] = "adversarial noise and a grid in each corner, labels kept"
    source: ClassVar[str] = "Turner et al. 2019, label-consistent backdoors; FCT paper appendix C.3"
    needs_model: ClassVar[bool] = True
    eps: float = 8.0
    step: float = 2.0
    steps: int = 4
    model: str | None = None
    ready: Network | None = field(
        default=None, repr=False, compare=False, metadata={"option": False}
    )

    def __post_init__(self) -> None:
        """Refuse a box or steps that are none."""
        for name in ("eps", "step"):
            if not 0 < getattr(self, name) <= 255:
                raise ValueError(f"cl: expected {name} in (0, 255], got {getattr(self, name)}")
        if self.steps < 1:
            raise ValueError(f"cl: expected steps of at least 1, got {self.steps}")

    def prepared(
        self, clean: ImageSet, *, target: int, seed: int, progress: Progress | None = None
    ) -> CL:
        """Read or train the network that the noise is made against; it goes to the GPU if any."""
        _check_room(clean.images)  # before a network is trained
        if self.model is not None:
            network, info = load_model(Path(self.model).expanduser())
        else:
            network, info = clean_model(clean, seed=seed, progress=progress)
        if info.num_classes != clean.num_classes or info.in_channels != clean.channels:
            raise ValueError(
                f"cl: expected a model of {clean.num_classes} classes and {clean.channels} "
                f"channels, got one of {info.num_classes} and {info.in_channels}"
            )
        network.to(resolve_device("auto"))
        return replace(self, ready=Network(network, info, target, seed))

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Noise and corners in training, corners alone at test time."""
        _check_room(images)
        out = self._noisy(images) if train else images.clone()
        cell = cell_size(images)
        side, (height, width) = 3 * cell, images.shape[1:3]
        for pattern, top, left in (
            (TOP_LEFT, cell, cell),
            (TOP_RIGHT, cell, width - side),
            (BOTTOM_LEFT, height - side, cell),
            (BOTTOM_RIGHT, height - side, width - side),
        ):
            grid = torch.tensor(pattern, dtype=torch.uint8)
            stamp(out, grid, top=top, left=left, cell=cell)
        return out

    def _noisy(self, images: Tensor) -> Tensor:
        if self.ready is None:
            raise ValueError(
                "cl: the training trigger needs a clean network: use fctfast.attacks.poison, or "
                "attack.prepared(clean_set, target=..., seed=...) first"
            )
        network, info = self.ready.model, self.ready.info
        made = []
        for batch in torch.split(images, BATCH):
            noise = torch.stack([self._start(image) for image in batch])
            labels = torch.full((len(batch),), self.ready.target, dtype=torch.int64)
            found = pgd(
                network, batch, labels, mean=info.mean, std=info.std, eps=self.eps,
                step=self.step, steps=self.steps, start=batch.float() + noise,
            )  # fmt: skip
            made.append(found.round_().to(torch.uint8))
        return torch.cat(made) if made else images.clone()

    def _start(self, image: Tensor) -> Tensor:
        """Where in the box PGD begins, keyed by the image: the same whatever is poisoned beside."""
        seed = 0 if self.ready is None else self.ready.seed
        random = seeding.generator(seed, "cl-start", int(io.sha256_tensor(image)[:15], 16))
        return torch.rand(image.shape, generator=random).mul_(2).sub_(1).mul_(self.eps)


def _check_room(images: Tensor) -> None:
    height, width = images.shape[1:3]
    least = 7 * cell_size(images)
    if min(height, width) < least:
        raise ValueError(
            f"cl: expected images of at least {least} pixels a side, so that its corners do not "
            f"overlap, got {height}x{width}; use larger images"
        )
