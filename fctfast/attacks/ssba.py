"""SSBA: one secret, which a trained encoder hides in every image by another change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from fctfast.attacks.registry import Attack, Form, Kind, register
from fctfast.attacks.stegastamp import Stamp, bits_for, load_stamp, psnr_for
from fctfast.attacks.stegastamp_training import trained_stamp
from fctfast.data import ImageSet
from fctfast.train import Progress

STAMP_FILE = "trigger.safetensors"


@register
@dataclass(frozen=True)
class SSBA(Attack):
    """An encoder's change that a decoder reads a fixed secret from, other in every image.

    The encoder is trained on the clean set (`stegastamp.py`, `stegastamp_training.py`), which takes
    a core 40 s at 32x32 and four minutes at 224x224, whatever the number of images, and kept:
    in the cache, and beside a poisoned set, whose test images need the same one. It serves images
    of the size it was trained on. The training and test triggers are the same. Rounding: to the
    nearest byte.

    Args:
        bits: of the secret, which the seed draws; default one for each 8x8 pixels, 4 to 100: 16 at
            32x32, 100 from 80x80 on.
        psnr: of every image, in decibels, but for what clipping takes from the change; default 30
            up to 64 pixels a side, 34 above.
        model: file of an encoder, as a poisoned set holds it (trigger.safetensors); it has its own
            secret. Default: one is trained.

    Source: Li et al. 2021, sample-specific triggers; FCT paper, sections 2 and 4.1.
    """

    name: ClassVar[str] = "ssba"
    kind: ClassVar[Kind] = "all2one"
    form: ClassVar[Form] = "blend"
    summary: ClassVar[str] = "a secret hidden in every image by a trained encoder, one target class"
    source: ClassVar[str] = "Li et al. 2021, sample-specific triggers; FCT paper appendix C.3"
    visible: ClassVar[bool] = False
    sample_specific: ClassVar[bool] = True
    needs_model: ClassVar[bool] = True
    test_needs_model: ClassVar[bool] = True
    bits: int | None = None
    psnr: float | None = None
    model: str | None = None
    ready: Stamp | None = field(default=None, repr=False, compare=False, metadata={"option": False})

    def __post_init__(self) -> None:
        """Refuse what is no secret or no power; read the encoder if there is a file."""
        if self.bits is not None and not 1 <= self.bits <= 1000:
            raise ValueError(f"ssba: expected bits of 1 to 1000, got {self.bits}")
        if self.psnr is not None and not 20 <= self.psnr <= 45:
            raise ValueError(f"ssba: expected psnr of 20 to 45 dB, got {self.psnr}")
        if self.model is None or self.ready is not None:
            return
        path = Path(self.model).expanduser().resolve()
        stamp = load_stamp(path)
        if self.bits not in (None, stamp.network.info.bits):
            raise ValueError(
                f"ssba: {path} hides {stamp.network.info.bits} bits, but the option bits is "
                f"{self.bits}; leave it out"
            )
        if self.psnr not in (None, stamp.network.info.psnr):
            raise ValueError(
                f"ssba: {path} hides at {stamp.network.info.psnr:g} dB, but the option psnr is "
                f"{self.psnr:g}; leave it out"
            )
        object.__setattr__(self, "model", str(path))
        object.__setattr__(self, "ready", stamp)

    def prepared(
        self, clean: ImageSet, *, target: int, seed: int, progress: Progress | None = None
    ) -> SSBA:
        """Train the encoder on the clean set, or read it where there is one."""
        if self.ready is not None:
            return self
        stamp = trained_stamp(
            clean, bits=self.bits or bits_for(clean.image_size),
            psnr=self.psnr or psnr_for(clean.image_size), seed=seed, progress=progress,
        )  # fmt: skip
        return replace(self, ready=stamp)

    def measured(self) -> dict[str, float]:
        """Bits read right and least PSNR, on images that the training held back."""
        return {} if self.ready is None else dict(self.ready.measured)

    def keep(self, folder: Path) -> dict[str, str]:
        """Write the encoder; the option `model` names it."""
        if self.ready is None:
            return {}
        self.ready.save(folder / STAMP_FILE)
        return {"model": STAMP_FILE}

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Hide the secret; the training and test triggers are the same."""
        if self.ready is None:
            raise ValueError(
                "ssba: the trigger needs the encoder of a poisoned set: use Poisoned.attack, or "
                f"the option model=FILE with the set's {STAMP_FILE} (evaluate: --poisoned FOLDER, "
                "or --option model=FILE)"
            )
        info = self.ready.network.info
        if tuple(images.shape[1:]) != (*info.image_size, info.channels):
            raise ValueError(
                f"ssba: the encoder was trained on images of {info.image_size[0]}x"
                f"{info.image_size[1]}x{info.channels}, got {images.shape[1]}x{images.shape[2]}x"
                f"{images.shape[3]}; use images of that size, or poison a set of this one"
            )
        return self.ready.hide(images)
