"""The ops of fctfast served by the executor: for the op tests and for counting a kernel's bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import load, with_source_line

OPS = (
    "contrastive_views",
    "fct_views",
    "feature_distance",
    "feature_distance_backward",
    "supcon_loss",
    "supcon_loss_backward",
    "warp_distance",
    "warp_distance_backward",
)


class Ops:
    """`torch.ops.fctfast` with its GPU kernels run on the executor, as csrc/cuda launches them."""

    def __init__(self, path: Path) -> None:
        """Load a built module of the plain mode."""
        self.module, self.path = load(path), path
        self.tensor_cores = True  # as a GPU of sm_80 and later has them
        self.tf32 = False
        self.triangle = (4096, 0)  # kSupConTriangleFrom; blocks as large as the rows ask for
        self.panel_blocks = 0  # likewise

    def _call(self, function: str, *arguments: Any) -> np.ndarray:
        try:
            made: np.ndarray = getattr(self.module, function)(*arguments)
        except self.module.Error as error:
            raise RuntimeError(with_source_line(str(error), self.path)) from None
        return made

    def fct_views(
        self, images: Any, coefficients: Any, mean: Any, std: Any, nhwc: bool, dtype: Any,
        channels_last: bool, originals: bool,
    ) -> Any:  # fmt: skip
        """As the schema of `fctfast::fct_views`."""
        made = self._call(
            "fct_views", images.numpy(), coefficients.numpy(), list(mean), list(std), nhwc,
            _name(dtype), channels_last, originals,
        )  # fmt: skip
        batch, *rest = images.shape
        height, width, channels = rest if nhwc else (*rest[1:], rest[0])
        rows = (coefficients.shape[0] + originals) * batch
        return _views(made, dtype, (rows, channels, height, width), channels_last)

    def contrastive_views(
        self, images: Any, params: Any, mean: Any, std: Any, height: int, width: int, nhwc: bool,
        dtype: Any, channels_last: bool,
    ) -> Any:  # fmt: skip
        """As the schema of `fctfast::contrastive_views`."""
        made = self._call(
            "contrastive_views", images.numpy(), params.contiguous().numpy(), list(mean), list(std),
            height, width, nhwc, _name(dtype), channels_last,
        )  # fmt: skip
        shape = (params.shape[0], images.shape[3 if nhwc else 1], height, width)
        return _views(made, dtype, shape, channels_last)

    def feature_distance(self, features: Any, draws: int, mean: bool) -> Any:
        """As the schema of `fctfast::feature_distance`."""
        _, arguments = _features(features, draws, mean)
        made = self._call("feature_distance", *arguments, None)
        return _tensor(
            made, _accumulator(features.dtype), (draws, features.shape[0] // (1 + draws))
        )

    def feature_distance_backward(self, grad: Any, features: Any, draws: int, mean: bool) -> Any:
        """As the schema of `fctfast::feature_distance_backward`."""
        dense, arguments = _features(features, draws, mean)
        made = self._call("feature_distance", *arguments, grad.contiguous().numpy())
        out = torch.empty_like(dense)
        if dense.is_contiguous():
            return out.copy_(_tensor(made, dense.dtype, dense.shape))
        last = dense.permute(0, 2, 3, 1).shape
        return out.copy_(_tensor(made, dense.dtype, last).permute(0, 3, 1, 2))

    def warp_distance(self, x: Any, coefficients: Any, fill: Any, mean: bool) -> Any:
        """As the schema of `fctfast::warp_distance`."""
        shape = (coefficients.shape[0], x.shape[0])
        if x.numel() == 0:
            return torch.zeros(shape, dtype=_accumulator(x.dtype))
        made = self._call("warp_distance", *_warp(x, coefficients, fill, mean), None)
        return _tensor(made, _accumulator(x.dtype), shape)

    def warp_distance_backward(
        self, grad: Any, x: Any, coefficients: Any, fill: Any, mean: bool
    ) -> Any:
        """As the schema of `fctfast::warp_distance_backward`."""
        arguments = _warp(x, coefficients, fill, mean)
        made = self._call("warp_distance", *arguments, grad.contiguous().numpy())
        return _tensor(made, x.dtype, x.shape)

    def supcon_loss(
        self, z: Any, group: Any, first: int, rows: int, temperature: float,
        base_temperature: float, tf32: bool,
    ) -> Any:  # fmt: skip
        """As the schema of `fctfast::supcon_loss`."""
        own, arguments = _supcon(z, group, first, rows, temperature, base_temperature)
        if own == 0:
            return torch.zeros(()), torch.empty((0, 2), dtype=torch.float64)
        how = (self.tensor_cores, self.tf32, self.triangle, self.panel_blocks)
        made = self._call("supcon_loss", *arguments, *how, None, None)
        loss = _tensor(made[:4].copy(), torch.float32, ())
        return loss, _tensor(made[4:].copy(), torch.float64, (own, 2))

    def supcon_loss_backward(
        self, grad: Any, z: Any, group: Any, statistics: Any, first: int, rows: int,
        temperature: float, base_temperature: float, tf32: bool,
    ) -> Any:  # fmt: skip
        """As the schema of `fctfast::supcon_loss_backward`."""
        own, arguments = _supcon(z, group, first, rows, temperature, base_temperature)
        if own == 0:
            return z.new_empty((0, z.shape[1]))
        given = [statistics.contiguous().numpy(), grad.reshape(1).numpy()]
        how = (self.tensor_cores, self.tf32, self.triangle, self.panel_blocks)
        made = self._call("supcon_loss", *arguments, *how, *given)
        return _tensor(made, z.dtype, (own, z.shape[1]))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """While it lasts, the ops' CPU entries are these."""
        library = torch.library.Library("fctfast", "IMPL")
        try:
            for name in OPS:
                library.impl(name, getattr(self, name), "CPU", allow_override=True)
            yield
        finally:
            library._destroy()


def _name(dtype: Any) -> str:
    return str(dtype).removeprefix("torch.")


def _accumulator(dtype: Any) -> Any:
    return torch.float64 if dtype == torch.float64 else torch.float32


def _array(tensor: Any) -> np.ndarray:
    if tensor.dtype in (torch.bfloat16, torch.float16):
        return np.asarray(tensor.view(torch.int16).numpy().view(np.uint16))
    return np.asarray(tensor.numpy())


def _tensor(data: np.ndarray, dtype: Any, shape: Sequence[int]) -> Any:
    if data.size == 0:  # numpy gives an empty array no stride that torch could view
        return torch.empty(tuple(shape), dtype=dtype)
    return torch.from_numpy(data).view(dtype).reshape(tuple(shape))


def _views(data: np.ndarray, dtype: Any, shape: Sequence[int], channels_last: bool) -> Any:
    rows, channels, height, width = shape
    if channels_last:
        return _tensor(data, dtype, (rows, height, width, channels)).permute(0, 3, 1, 2)
    return _tensor(data, dtype, shape)


def _features(features: Any, draws: int, mean: bool) -> tuple[Any, list[Any]]:
    is_map = features.dim() == 4
    last = is_map and features.is_contiguous(memory_format=torch.channels_last)
    dense = features if features.is_contiguous() or last else features.contiguous()
    width = dense.shape[1]
    pixels = dense.shape[2] * dense.shape[3] if is_map else 1
    flat = dense if dense.is_contiguous() else dense.permute(0, 2, 3, 1)
    scale = 1 / width if mean else 1.0
    kind = _name(dense.dtype)
    return dense, [_array(flat), draws, width, pixels, dense.is_contiguous(), kind, scale]


def _supcon(
    z: Any, group: Any, first: int, rows: int, temperature: float, base: float
) -> tuple[int, list[Any]]:
    own = len(z) - first if rows == -1 else rows
    arrays = [_array(z.contiguous()), group.contiguous().numpy()]
    return own, [*arrays, first, own, temperature, base, _name(z.dtype)]


def _warp(x: Any, coefficients: Any, fill: Any, mean: bool) -> list[Any]:
    elements = x[0].numel() if x.shape[0] else 1
    scale = 1 / elements if mean else 1.0
    return [_array(x.contiguous()), coefficients.numpy(), list(fill), _name(x.dtype), scale]
