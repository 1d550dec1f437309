"""Channel means and standard deviations: the paper's constants, and those of any other set."""

from __future__ import annotations

import torch

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2023, 0.1994, 0.2010)
CIFAR100_MEAN = (0.5071, 0.4865, 0.4409)
CIFAR100_STD = (0.2673, 0.2564, 0.2762)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_CHUNK = 4096  # images a step, so that the counting needs little memory of its own


def channel_statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Compute mean and standard deviation of each channel, in units of full brightness.

    Exact up to the last division: pixel values are counted, not summed in floating point, so
    neither order nor batch size shows.

    Args:
        images: uint8 [N, H, W, C].

    Returns:
        (mean, std), each C numbers in [0, 1]; a channel that never changes gets std 1, which
        leaves it as it is instead of dividing by zero.

    Raises:
        TypeError: images are not uint8.
        ValueError: images are not [N, H, W, C] or there are none.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"channel_statistics: expected uint8 images, got {images.dtype}")
    if images.ndim != 4 or not images.numel():
        raise ValueError(
            f"channel_statistics: expected images [N, H, W, C] with N > 0, got {list(images.shape)}"
        )
    values = torch.arange(256, dtype=torch.float64) / 255
    means: list[float] = []
    stds: list[float] = []
    for channel in range(images.shape[3]):
        counts = torch.zeros(256, dtype=torch.int64)
        for chunk in torch.split(images[..., channel], _CHUNK):
            counts += torch.bincount(chunk.reshape(-1), minlength=256).cpu()
        weights = counts.double() / counts.sum()
        mean = (weights * values).sum()
        variance = (weights * (values - mean).square()).sum()
        means.append(float(mean))
        stds.append(float(variance.sqrt()) or 1.0)
    return tuple(means), tuple(stds)
