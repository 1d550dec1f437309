"""A trojan patch made for a model: pixels that drive chosen neurons, as the attack's own paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from fctfast import seeding
from fctfast.attacks.trojan import Trojan
from fctfast.models import FeatureModel, as_feature_model
from fctfast.train import normalise
from fctfast.train.inference import device_of, evaluating


@dataclass(frozen=True)
class Optimised:
    """A patch and what it does.

    Args:
        attack: with the patch, ready for :func:`fctfast.attacks.poison`.
        neurons: the features that it drives.
        before: their mean activation on the clean images.
        after: on the images with the patch, rounded to bytes as the attack writes it.
    """

    attack: Trojan
    neurons: tuple[int, ...]
    before: float
    after: float


def optimise(
    model: nn.Module,
    images: Tensor,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    neurons: Sequence[int] | None = None,
    cells: int = 3,
    steps: int = 200,
    seed: int = 0,
) -> Optimised:
    """Make the patch that raises chosen penultimate features most, on average over images.

    Args:
        model: any module that :func:`fctfast.models.as_feature_model` accepts; left as it is.
        images: uint8 [N, H, W, C], a batch of clean images (64 are enough); grey ones see the mean
            of the patch's colours, as the attack gives it to them.
        mean: per channel, in [0, 1] units.
        std: per channel.
        neurons: features to drive; default: the one that is most active on these images.
        cells: side of the patch in cells; default 3.
        steps: of Adam over the patch; default 200.
        seed: of the patch that it starts from.

    Returns:
        The patch and the activations with and without it.

    Raises:
        ValueError: images are not [N, H, W, 1 or 3], a neuron does not exist, or there are no
            cells or steps.

    Source: Liu et al. 2018, section "trojan trigger generation" (a mask of fixed pixels, gradient
    descent on the distance of chosen neurons' activation from a high value; here its ascent).
    """
    if images.dim() != 4 or images.shape[3] not in (1, 3) or not len(images):
        raise ValueError(f"optimise: expected images [N, H, W, 1 or 3], got {list(images.shape)}")
    if cells < 1 or steps < 1:
        raise ValueError(f"optimise: expected cells and steps of at least 1, got {cells}, {steps}")
    network = cast(FeatureModel, as_feature_model(model))
    place = device_of(model, images.device)
    images = images.cpu()  # the patch is made there, what the network sees where the network is
    with evaluating(model):
        with torch.no_grad():
            clean = network.features(normalise(images, mean, std).to(place)).mean(0)
        chosen = tuple(neurons) if neurons is not None else (int(clean.argmax()),)
        if not chosen or not all(0 <= n < len(clean) for n in chosen):
            raise ValueError(f"optimise: expected neurons of 0..{len(clean) - 1}, got {chosen}")

        def activation(batch: Tensor) -> Tensor:
            """Mean of the chosen features; `batch` is float, in bytes' units."""
            shift, scale = (torch.tensor(v)[:, None, None] for v in (mean, std))
            x = (batch.permute(0, 3, 1, 2) / 255 - shift) / scale
            made: Tensor = network.features(x.to(place))[:, list(chosen)].mean()
            return made.cpu()

        patch = _ascend(activation, images, cells, steps, seed)
        attack = Trojan(patch=tuple(map(_rows, patch.unbind(0))))
        with torch.no_grad():
            after = activation(attack.apply(images, train=True).float())
        return Optimised(attack, chosen, float(clean[list(chosen)].mean()), float(after))


def _ascend(
    activation: Callable[[Tensor], Tensor], images: Tensor, cells: int, steps: int, seed: int
) -> Tensor:
    """Adam on the logits of a patch [3, cells, cells] in 0..255; returns whole numbers."""
    start = torch.randn(3, cells, cells, generator=seeding.generator(seed, "trojan-patch"))
    logits = start.requires_grad_()
    shape = Trojan(patch=tuple(map(_rows, torch.zeros(3, cells, cells, dtype=torch.int64))))
    size = shape.block(images).shape[0] // cells
    adam = torch.optim.Adam([logits], lr=0.1)
    for _ in range(steps):
        block = (255 * logits.sigmoid()).permute(1, 2, 0)
        block = block if images.shape[3] == 3 else block.mean(2, keepdim=True)
        block = block.repeat_interleave(size, 0).repeat_interleave(size, 1)
        # Clipped as the attack clips: a pixel that is white already has nothing to gain.
        batch = images.float()
        place = shape.place(batch)
        place.copy_((place + block).clamp(max=255))
        (slope,) = torch.autograd.grad(-activation(batch), logits)
        logits.grad = slope
        adam.step()
    return (255 * logits.detach().sigmoid()).round().to(torch.int64)


def _rows(colour: Tensor) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in colour.tolist())
