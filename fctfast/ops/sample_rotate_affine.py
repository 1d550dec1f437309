"""Parameters of tau = rotate + affine, keyed by (seed, id, draw)."""

from __future__ import annotations

import torch
from torch import Tensor

from fctfast.ops import _library  # noqa: F401  (registers the op)
from fctfast.ops._checks import image_size, require_tensor, shape_of, side_limit, signed64


@torch.library.register_fake("fctfast::sample_rotate_affine")
def _(
    ids: Tensor,
    seed: int,
    first_draw: int,
    draws: int,
    degrees: float,
    translate_x: float,
    translate_y: float,
    height: int,
    width: int,
) -> Tensor:
    return ids.new_empty((draws, ids.shape[0], 3), dtype=torch.float32)


@torch.library.register_fake("fctfast::affine_coefficients")
def _coefficients(params: Tensor, height: int, width: int, bilinear: bool) -> Tensor:
    words, dtype = (6, torch.int64) if bilinear else (8, torch.int32)
    return params.new_empty((params.shape[0], params.shape[1], words), dtype=dtype)


def sample_rotate_affine(
    ids: Tensor,
    seed: int,
    draw: int | range,
    degrees: float,
    translate: tuple[float, float],
    size: tuple[int, int],
) -> Tensor:
    """Draw angle and whole-pixel shift for each sample, a function of (seed, id, draw) alone.

    The same bits come out whatever the batch size, order, loader, worker, rank or device.

    Args:
        ids: int64 [B] on the CPU, the samples' ids.
        seed: any int of 64 bits.
        draw: number of the draw, or a range of K consecutive draws.
        degrees: angles are uniform in [-degrees, degrees).
        translate: largest shift as a share of (width, height); dx = round(U[-share W, share W]).
        size: (height, width) in pixels.

    Returns:
        float32 [B, 3] (angle in degrees counter-clockwise, dx, dy in pixels, right and down
        positive), or [K, B, 3] for a range.

    Raises:
        TypeError: ids is no int64 tensor.
        ValueError: ids not one-dimensional, a negative draw, a range with a step, negative
            degrees or shares, sides out of range.

    Source: section 3.2 and Appendix C.5 (tau = rotate + affine); Philox4x32-10.

    Example:
        >>> ids = torch.tensor([7, 3])
        >>> sample_rotate_affine(ids, 0, range(4), 180.0, (0.2, 0.2), (32, 32)).shape
        torch.Size([4, 2, 3])
    """
    op = "sample_rotate_affine"
    require_tensor(op, "ids", ids)
    if ids.dtype != torch.int64 or ids.device.type != "cpu":
        raise TypeError(f"{op}: expected ids int64 [B] on the CPU, got {shape_of(ids)}")
    if ids.dim() != 1:
        raise ValueError(f"{op}: expected ids int64 [B], got {shape_of(ids)}")
    draws = draw if isinstance(draw, range) else range(draw, draw + 1)
    if draws.step != 1 or draws.start < 0 or draws.stop > 2**32:
        raise ValueError(f"{op}: expected draw >= 0 or a range of step 1, got {draw}")
    if degrees < 0 or min(translate) < 0:
        raise ValueError(
            f"{op}: expected degrees and translate >= 0, got {degrees} and {translate}"
        )
    height, width = image_size(op, size)
    side_limit(op, height, width)
    params: Tensor = torch.ops.fctfast.sample_rotate_affine(
        ids,
        signed64(op, seed),
        draws.start,
        len(draws),
        float(degrees),
        float(translate[0]),
        float(translate[1]),
        height,
        width,
    )
    return params if isinstance(draw, range) else params[0]
