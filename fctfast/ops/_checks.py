"""Argument checks that more than one op makes; messages say what was expected and what came."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

MAX_SIDE = 32767
FLOATING = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def shape_of(value: object) -> str:
    """How a tensor (or what came instead of one) is named in an error."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)} on {value.device}"
    return type(value).__name__


def require_tensor(op: str, name: str, value: object) -> None:
    """Raise TypeError unless `value` is a tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{op}: expected {name} to be a tensor, got {type(value).__name__}")


def choice(op: str, name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise ValueError unless `value` is one of the `allowed` words."""
    if value not in allowed:
        words = " or ".join(repr(word) for word in allowed)
        raise ValueError(f"{op}: expected {name}={words}, got {value!r}")


def per_channel(op: str, name: str, value: float | Sequence[float], channels: int) -> list[float]:
    """Return one float a channel from a number or a sequence of `channels` numbers."""
    given = (
        [float(value)] * channels if isinstance(value, (int, float)) else numbers(op, name, value)
    )
    if len(given) != channels:
        raise ValueError(
            f"{op}: expected {name} of {channels} values, one a channel, got {len(given)}"
        )
    if not all(math.isfinite(one) for one in given):
        raise ValueError(f"{op}: expected finite {name}, got {value}")
    return given


def numbers(op: str, name: str, value: Any) -> list[float]:
    """Return a sequence of numbers, of whatever type, as floats."""
    if not isinstance(value, str):
        try:
            return [float(one) for one in value]
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{op}: expected {name} to be a sequence of numbers, got {value!r}")


def whole(op: str, name: str, value: Any) -> int:
    """Return a whole number, of whatever type, as an int."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{op}: expected {name} to be a whole number, got {value!r}") from None


def image_size(op: str, value: object) -> tuple[int, int]:
    """Return (height, width), both of whole pixels."""
    if not isinstance(value, Sequence) or len(value) != 2:
        raise TypeError(f"{op}: expected size (height, width) in pixels, got {value!r}")
    return whole(op, "height", value[0]), whole(op, "width", value[1])


def nonzero(op: str, name: str, values: Sequence[float]) -> None:
    """Raise ValueError unless all values can be divided by in float32."""
    if not all(1e-30 < abs(value) < math.inf for value in values):
        raise ValueError(f"{op}: expected {name} without zeros, got {list(values)}")


def image_batch(
    op: str,
    images: Tensor,
    layout: str,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
) -> tuple[int, int, int, int]:
    """Check a batch of byte images and the format of what is made of it.

    Returns:
        (batch, height, width, channels).

    Raises:
        TypeError: images is no uint8 tensor, dtype is none of float32, bfloat16 and float16.
        ValueError: another layout, number of dimensions or memory format.
    """
    require_tensor(op, "images", images)
    choice(op, "layout", layout, ("nhwc", "nchw"))
    if images.dtype != torch.uint8:
        raise TypeError(f"{op}: expected images uint8 (0..255), got {shape_of(images)}")
    if images.dim() != 4:
        letters = ", ".join(layout.replace("n", "b").upper())
        raise ValueError(f"{op}: expected images [{letters}], got {shape_of(images)}")
    if dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise TypeError(f"{op}: expected dtype float32, bfloat16 or float16, got {dtype}")
    if memory_format not in (torch.contiguous_format, torch.channels_last):
        raise ValueError(
            f"{op}: expected memory_format contiguous_format or channels_last, got {memory_format}"
        )
    batch, *rest = images.shape
    height, width, channels = rest if layout == "nhwc" else (*rest[1:], rest[0])
    return batch, height, width, channels


def side_limit(op: str, height: int, width: int) -> None:
    """Raise ValueError where 16.16 fixed point cannot address a side."""
    if height > MAX_SIDE or width > MAX_SIDE:
        raise ValueError(
            f"{op}: expected sides of at most {MAX_SIDE} pixels (16.16 fixed point), "
            f"got {height} x {width}; resize first"
        )


def signed64(op: str, seed: Any) -> int:
    """Return the int64 with the last 64 bits of any whole number, as schemas take it."""
    return (whole(op, "seed", seed) + 2**63) % 2**64 - 2**63


def frame_limit(op: str, height: int, width: int) -> None:
    """Raise ValueError where a turned corner leaves 16.16 fixed point (nearest neighbour).

    Pillow takes another path there as well, so there is nothing to be equal to.
    """
    room = 2 * (MAX_SIDE + 1) - max(height, width)
    if height * height + width * width >= room * room:  # longest side + diagonal < 65,536
        raise ValueError(
            f"{op}: expected, with interpolation='nearest', an image whose longest side and "
            f"diagonal add up to less than 65536 pixels (16.16 fixed point; squares up to 27145), "
            f"got {height} x {width}; resize first or use 'bilinear'"
        )


def coefficients(
    op: str, params: Tensor, batch: int, size: tuple[int, int], interpolation: str
) -> Tensor:
    """Check tau's parameters and turn them into the integers the kernels take.

    Args:
        op: name for errors.
        params: float32 [B, 3] or [K, B, 3] on any device; read on the CPU, where libm makes the
            coefficients, so that every device gets the same bits.
        batch: B that the op's other argument has.
        size: (height, width) in pixels.
        interpolation: "nearest" or "bilinear".

    Returns:
        int32 [K, B, 8] (nearest) or int64 [K, B, 6] (bilinear) on the CPU.

    Raises:
        TypeError: params is no tensor or not float32.
        ValueError: shape, side or interpolation out of range.
    """
    require_tensor(op, "params", params)
    choice(op, "interpolation", interpolation, ("nearest", "bilinear"))
    if params.dtype != torch.float32:
        raise TypeError(f"{op}: expected params float32, got {shape_of(params)}")
    if params.dim() not in (2, 3) or params.shape[-1] != 3 or params.shape[-2] != batch:
        raise ValueError(
            f"{op}: expected params [{batch}, 3] or [K, {batch}, 3] (angle, dx, dy), "
            f"got {shape_of(params)}"
        )
    side_limit(op, *size)
    if interpolation == "nearest":
        frame_limit(op, *size)
    draws = params if params.dim() == 3 else params[None]
    made: Tensor = torch.ops.fctfast.affine_coefficients(
        draws.cpu(), size[0], size[1], interpolation == "bilinear"
    )
    return made


def no_tangent(op: str, value: Tensor) -> None:
    """Raise NotImplementedError for forward mode, of which torch would make zero in silence."""
    if torch.compiler.is_compiling():
        return
    # torch does not annotate it.
    if forward_ad.unpack_dual(value).tangent is not None:  # type: ignore[no-untyped-call]
        raise NotImplementedError(
            f"{op} is differentiable in backward mode; use fctfast.ops.reference.{op} for "
            "forward mode (torch.func.jvp, jacfwd)"
        )


def once_differentiable(op: str) -> None:
    """Make a second derivative of an op an error; torch itself drops the term with a warning.

    Args:
        op: name of an op with a `<op>_backward` beside it.
    """

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    def backward(ctx: Any, grad: Tensor) -> None:
        refuse_second_derivative(op)

    torch.library.register_autograd(f"fctfast::{op}_backward", backward, setup_context=setup)


def refuse_second_derivative(op: str) -> NoReturn:
    """Raise the error of an op that is differentiated twice.

    Args:
        op: its name.

    Raises:
        NotImplementedError: always.
    """
    raise NotImplementedError(
        f"{op} is differentiable once; use fctfast.ops.reference.{op} for a second derivative"
    )
