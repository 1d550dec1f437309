"""Blend-Kitty: a cartoon cat, or any picture of the user's, blended into the whole image."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from fctfast import io
from fctfast.attacks.blend import add_pattern
from fctfast.attacks.cat import draw_cat
from fctfast.attacks.registry import Attack, Form, Kind, register
from fctfast.data.decode_pool import BadFile, decode_stream
from fctfast.data.stores import MAX_FILE_BYTES

KEPT = "trigger-image"
GREY = (0.299, 0.587, 0.114)


@register
@dataclass(frozen=True)
class BlendKitty(Attack):
    """(1 - ratio) x + ratio picture, the picture scaled to the image's size.

    The published picture has no licence, so this one is drawn here (`cat.py`). A file is decoded as
    an untrusted one, in a process that may die, scaled until it covers the image and cut to its
    centre; transparent pixels count as the colour stored under them. Rounding: the blend is clipped
    to 0..255 and truncated; with the published ratio of .2 that is floor((4 x + m) / 5) exactly.
    Grey images take the picture's luma.

    Args:
        ratio: share of the picture, between 0 and 1; default .2.
        image: JPEG, PNG, WebP or BMP file to blend in; default: the cat.
        sha256: of that file, so that a recipe notices another one; default: of what it holds now.

    Source: Chen et al. 2017; settings of the FCT paper, appendix C.3.
    """

    name: ClassVar[str] = "blend-kitty"
    kind: ClassVar[Kind] = "all2one"
    form: ClassVar[Form] = "blend"
    summary: ClassVar[str] = "cartoon cat (or your picture) blended in, one target class"
    source: ClassVar[str] = "Chen et al. 2017, targeted backdoor attacks; FCT paper appendix C.3"
    ratio: float = 0.2
    image: str | None = None
    sha256: str | None = None

    def __post_init__(self) -> None:
        """Refuse a ratio that is not a share, and a file that is not the recipe's."""
        if not 0 < self.ratio <= 1:
            raise ValueError(f"blend-kitty: expected ratio in (0, 1], got {self.ratio}")
        if self.image is None:
            return
        path = Path(self.image).expanduser().resolve()
        if not path.is_file():
            raise FileNotFoundError(f"blend-kitty: expected image to be a picture file, got {path}")
        object.__setattr__(self, "image", str(path))
        found = hashlib.sha256(_bytes(path, self.sha256)).hexdigest()
        object.__setattr__(self, "sha256", found)
        _picture(str(path), found, (8, 8))  # one that cannot be decoded is refused here

    def keep(self, folder: Path) -> dict[str, str]:
        """Copy the user's picture beside a poisoned set, which then can move; the cat is code."""
        if self.image is None:
            return {}
        name = KEPT + Path(self.image).suffix.lower()
        io.write_bytes(folder / name, _bytes(Path(self.image), self.sha256))
        return {"image": name}

    def trigger(self, images: Tensor, *, train: bool) -> Tensor:
        """Blend the picture in; the training and test triggers are the same."""
        height, width, channels = images.shape[1:]
        if self.image is None:
            picture = draw_cat(height, width)
        else:
            picture = _picture(self.image, self.sha256, (height, width))
        if channels == 1:
            picture = (picture.double() @ torch.tensor(GREY, dtype=torch.float64)).round()[
                ..., None
            ]
        return add_pattern(images, self.ratio * picture.float(), scale=1 - self.ratio)


def _bytes(path: Path, sha256: str | None) -> bytes:
    """A picture file's content, if it is still the one that was asked for."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(
            f"blend-kitty: expected a picture of at most {MAX_FILE_BYTES >> 20} MiB, got "
            f"{path.stat().st_size >> 20} MiB: {path}"
        )
    content = path.read_bytes()
    if sha256 not in (None, found := hashlib.sha256(content).hexdigest()):
        raise ValueError(
            f"blend-kitty: {path} is not the picture of the recipe (SHA-256 {found}, expected "
            f"{sha256}); put that one back"
        )
    return content


@functools.lru_cache(maxsize=8)
def _picture(path: str, sha256: str | None, size: tuple[int, int]) -> Tensor:
    """The file's picture, uint8 [H, W, 3]; sha256 is a key: another file is another picture."""
    ((_, made),) = decode_stream([(0, _bytes(Path(path), sha256))], size=size)
    if isinstance(made, BadFile):
        raise ValueError(f"blend-kitty: {path} cannot be decoded: {made.reason}")
    return torch.from_numpy(made.copy())
