"""StegaStamp in small: an encoder hides bits in an image, a decoder reads them from the pixels."""

from __future__ import annotations

import functools
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fctfast import io
from fctfast.models.checkpoint import fill

FORMAT = "fctfast-stegastamp-1"
CELL = 8  # the decoder halves an image three times
LARGEST = 64  # longer side of what the networks see
WIDTH = 32  # channels of a layer
SECRET_WIDTH = 16  # of the secret's map
CLIP = 3.0  # where single changes level off, in root mean squares of all changes
BATCH = 64


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """What the networks see of an image: at most 64 pixels a side, in multiples of 8.

    Args:
        size: (height, width) of the images.

    Returns:
        (height, width): 32x32 and 64x64 as they are, 28x28 as 32x32, 224x160 as 64x48.
    """
    scale = min(1.0, LARGEST / max(size))
    height, width = (max(1, round(side * scale / CELL)) * CELL for side in size)
    return height, width


def bits_for(size: tuple[int, int]) -> int:
    """How many bits images of a size are given: one for each 8x8 pixels, 4 to 100.

    Args:
        size: (height, width) of the images.

    Returns:
        16 at 32x32, 64 at 64x64, 100 from 80x80 on.
    """
    return max(4, min(100, size[0] * size[1] // CELL**2))


def psnr_for(size: tuple[int, int]) -> float:
    """How strongly images of a size are changed, in decibels.

    Args:
        size: (height, width) of the images.

    Returns:
        30 up to 64 pixels a side; 34 above, where the change is scaled up and coarse enough to be
        seen at 30.
    """
    return 30.0 if max(size) <= LARGEST else 34.0


@dataclass(frozen=True)
class StampInfo:
    """What an encoder was made for.

    Args:
        bits: length of its secrets.
        channels: of its images, 1 or 3.
        image_size: (height, width).
        psnr: in decibels; sets the power of the change, the same in every image.
    """

    bits: int
    channels: int
    image_size: tuple[int, int]
    psnr: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "image_size", tuple(self.image_size))


class StegaStamp(nn.Module):
    """Encoder and decoder. Images are float [B, C, H, W] in 0..1, secrets float [B, bits] of 0, 1.

    Both see the image at :func:`working_size`; the change is scaled up to the image. Its power is
    that of the wanted PSNR by construction, so no network can buy readable bits with visible ones,
    and all images are changed alike; only clipping to black and white takes from it.

    Args:
        info: what it is made for.

    Source: Tancik et al. 2020, StegaStamp; without its robustness to cameras and its critic.
    """

    def __init__(self, info: StampInfo) -> None:
        super().__init__()
        self.info = info
        self.working = height, width = working_size(info.image_size)
        cells = height // CELL * (width // CELL)
        pixels = 4 * info.channels  # four neighbours are the channels of one: a quarter of the work
        self.secret = nn.Linear(info.bits, SECRET_WIDTH * cells)
        self.look = nn.Conv2d(pixels, WIDTH, 3, padding=1)
        self.encoder = nn.Sequential(
            nn.Conv2d(WIDTH + SECRET_WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, pixels, 3, padding=1),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Conv2d(pixels, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(),
            nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1, stride=2), nn.ReLU(),
            nn.Conv2d(2 * WIDTH, 2 * WIDTH, 3, padding=1, stride=2), nn.ReLU(),
            nn.Flatten(), nn.Linear(2 * WIDTH * cells, info.bits),
        )  # fmt: skip

    def residual(self, images: Tensor, secrets: Tensor) -> Tensor:
        """The change at the working size, of mean square 1 an image: [B, C, h, w]."""
        height, width = self.working
        cells = self.secret(2 * secrets - 1).view(
            len(images), SECRET_WIDTH, height // CELL, 1, width // CELL, 1
        )
        half = CELL // 2
        spread = cells.expand(-1, -1, -1, half, -1, half).reshape(
            len(images), SECRET_WIDTH, height // 2, width // 2
        )
        seen = F.relu(self.look(self._seen(images)))
        made = F.pixel_shuffle(self.encoder(torch.cat([seen, spread], 1)), 2)
        return unit_power(CLIP * torch.tanh(unit_power(made) / CLIP))

    def stamped(self, images: Tensor, residual: Tensor, psnr: float | None = None) -> Tensor:
        """Images with a change of :meth:`residual` in them, in 0..1, at their own size."""
        power = 10 ** (-(self.info.psnr if psnr is None else psnr) / 20)
        return (images + power * unit_power(resized(residual, images.shape[2:]))).clamp(0, 1)

    def logits(self, images: Tensor) -> Tensor:
        """What the decoder reads: [B, bits], positive for a 1."""
        found: Tensor = self.decoder(self._seen(images))
        return found

    def _seen(self, images: Tensor) -> Tensor:
        return F.pixel_unshuffle(resized(images, self.working) - 0.5, 2)


def unit_power(change: Tensor) -> Tensor:
    """Scale each image's change to a mean square of 1; nothing stays nothing."""
    return change / (change.square().mean((1, 2, 3), keepdim=True) + 1e-8).sqrt()


def resized(images: Tensor, size: tuple[int, int] | torch.Size) -> Tensor:
    """Scale images [B, C, H, W] bilinearly, antialiased where they shrink.

    By products with a matrix a side: the gradient of torch's own resizing adds up in another order
    on every run of a GPU.
    """
    for dim, side in ((2, int(size[0])), (3, int(size[1]))):
        if images.shape[dim] != side:
            weights = _weights(images.shape[dim], side).to(images.device)
            images = weights @ images if dim == 2 else images @ weights.T
    return images


@functools.lru_cache(maxsize=16)
def _weights(old: int, new: int) -> Tensor:
    """Matrix [new, old] that scales a column of pixels."""
    each = torch.eye(old)[None, None]
    made = F.interpolate(each, size=(new, old), mode="bilinear", antialias=True)
    return made[0, 0].contiguous()


@dataclass(frozen=True, eq=False)
class Stamp:
    """A trained network and the secret of one attack.

    Args:
        network: in eval mode, on the CPU.
        secret: bool [bits].
        measured: by the training, on images that it held back; see :func:`measure`.
    """

    network: StegaStamp
    secret: Tensor
    measured: dict[str, float] = field(default_factory=dict)

    def hide(self, images: Tensor, secrets: Tensor | None = None) -> Tensor:
        """Hide bits in images, rounded to the nearest byte.

        Args:
            images: uint8 [N, H, W, C], of the network's size and channels.
            secrets: bool [N, bits], one an image; default: the attack's secret in each.

        Returns:
            uint8 [N, H, W, C].
        """
        if secrets is None:
            secrets = self.secret.expand(len(images), -1)
        out = torch.empty_like(images)
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                x = unit_range(images[start : start + BATCH])
                change = self.network.residual(x, secrets[start : start + BATCH].float())
                made = self.network.stamped(x, change).mul_(255).round_().to(torch.uint8)
                out[start : start + BATCH] = made.permute(0, 2, 3, 1)
        return out

    def read(self, images: Tensor) -> Tensor:
        """The bits that the decoder finds, bool [N, bits], in images uint8 [N, H, W, C]."""
        with torch.inference_mode():
            found = [self.network.logits(unit_range(b)) > 0 for b in torch.split(images, BATCH)]
        return torch.cat(found) if found else torch.empty(0, len(self.secret), dtype=torch.bool)

    def save(self, path: str | Path) -> None:
        """Write network, secret and description as one safetensors file, atomically."""
        tensors = {**self.network.state_dict(), "bits": self.secret}
        about = {
            "format": FORMAT,
            "info": json.dumps(asdict(self.network.info)),
            "measured": json.dumps(self.measured),
        }
        io.write_tensors(path, tensors, about)


def unit_range(images: Tensor) -> Tensor:
    """Bytes [B, H, W, C] as float32 [B, C, H, W] in 0..1."""
    return images.permute(0, 3, 1, 2).float() / 255


def measure(stamp: Stamp, images: Tensor, random: torch.Generator) -> dict[str, float]:
    """How well random secrets are hidden in images, and read back from the rounded bytes.

    Args:
        stamp: the networks.
        images: uint8 [N, H, W, C], at least one.
        random: of the secrets, one an image.

    Returns:
        ``bits_right`` (share, .5 by chance), ``least_psnr`` (decibels, of any image) and
        ``images`` (how many).
    """
    shape = (len(images), len(stamp.secret))
    secrets = torch.randint(0, 2, shape, generator=random).bool()
    hidden = stamp.hide(images, secrets)
    right = float((stamp.read(hidden) == secrets).double().mean())
    # A batch at a time: large images in float64 would take gigabytes.
    errors = torch.cat([
        (a.double() - b.double()).square().mean((1, 2, 3))
        for a, b in zip(torch.split(hidden, BATCH), torch.split(images, BATCH), strict=True)
    ])  # fmt: skip
    psnr = 10 * math.log10(255**2 / max(float(errors.max()), 1e-12))
    return {"bits_right": right, "least_psnr": psnr, "images": float(len(images))}


def load_stamp(path: str | Path) -> Stamp:
    """Read a file of :meth:`Stamp.save`.

    Args:
        path: the file.

    Returns:
        The stamp, on the CPU.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged or something else.
    """
    tensors, about = io.read_tensors(path)
    if about.get("format") != FORMAT or "bits" not in tensors:
        raise ValueError(
            f"{path}: expected an encoder of ssba (format {FORMAT}), got "
            f"{about.get('format', 'none')}; `fctfast poison --attack ssba` writes one beside the "
            "poisoned set"
        )
    secret = tensors.pop("bits")
    try:
        network = StegaStamp(StampInfo(**json.loads(about["info"])))
        measured = {str(k): float(v) for k, v in json.loads(about.get("measured", "{}")).items()}
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: its description of the encoder is damaged: {error}") from error
    fill(path, network, tensors)
    return Stamp(network.eval(), secret, measured)
