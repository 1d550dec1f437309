"""Passes of the eager peer (`gpu_peers.py`) over memory, listed without running them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gpu_contrastive_peers
import gpu_peers
import gpu_supcon_peers
import supcon_peers
import torch
from gpu_cases import LAST, Case
from kernel_contrastive import params_of
from kernel_model import Bytes
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_MAKE_ONLY = ("empty", "new_empty", "detach", "_unsafe_view", "lift_fresh", "resize_")
_WRITE_ONLY = ("copy_", "fill_", "zero_")
_SHAPE_ONLY = ("ones_like", "zeros_like")  # of what they are given


@dataclass(frozen=True)
class Pass:
    """One kernel of the eager peer: what it reads and writes at the least."""

    name: str
    moved: Bytes


def _size(t: Tensor) -> int:
    """Bytes of the distinct elements: a broadcast dimension is one."""
    made = t.element_size()
    for side, stride in zip(t.shape, t.stride(), strict=True):
        made *= side if stride else 1
    return made


class _Recorder(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.passes: list[Pass] = []

    def _add(self, name: str, read: float, written: float) -> None:
        self.passes.append(Pass(name, Bytes(read, written)))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        outs = [t for t in (made if isinstance(made, tuple | list) else [made]) if _is(t)]
        if func.is_view or name.startswith(_MAKE_ONLY) or not outs:
            return made
        if name == "affine_grid_generator":
            self._affine_grid(outs[0])
        elif name == "grid_sampler_2d_backward":
            self._grid_backward(args, outs[0])
        elif name in _SHAPE_ONLY:
            self._add(name, 0, _size(outs[0]))
        elif name == "index":  # some views of all: those it reads, and no others
            self._add(name, _size(made), _size(made))
        elif name == "index_put_":
            self._add(name, _size(args[2]), _size(args[2]))
        elif name == "slice_backward":
            self._add("slice backward: clear", 0, _size(outs[0]))
            self._add("slice backward: copy", _size(args[0]), _size(args[0]))
        else:
            given = zip(func._schema.arguments, args, strict=False)
            read = [t for a, t in given if not (_only_written(a, name))]
            read += [kwargs[a.name] for a in func._schema.arguments
                     if a.name in kwargs and not _only_written(a, name)]  # fmt: skip
            flat = [t for r in read for t in (r if isinstance(r, list | tuple) else [r]) if _is(t)]
            # A matrix and its transpose are the same bytes.
            distinct = {(t.untyped_storage()._cdata, t.storage_offset(), _size(t)): t for t in flat}
            self._add(name, sum(map(_size, distinct.values())), sum(map(_size, outs)))
        return made

    def _affine_grid(self, grid: Tensor) -> None:
        """Its kernels lie below this recorder: three planes of the base grid, one product."""
        plane = _size(grid) / 2
        for part in ("x", "y", "1"):
            self._add(f"affine_grid: base {part}", 0, plane)
        self._add("affine_grid: bmm", 3 * plane, 2 * plane)

    def _grid_backward(self, args: tuple[Any, ...], grad: Tensor) -> None:
        """The image's gradient is cleared, then added to: read and written once at the least."""
        self._add("grid_sample backward: clear", 0, _size(grad))
        self._add(
            "grid_sample backward: add", _size(args[0]) + _size(args[2]) + _size(grad), _size(grad)
        )


def _is(t: Any) -> bool:
    return isinstance(t, Tensor)


def _only_written(argument: Any, name: str) -> bool:
    written = argument.alias_info is not None and argument.alias_info.is_write
    return written and (argument.is_out or name in _WRITE_ONLY)


def passes(case: Case) -> list[Pass]:
    """List the kernels of the case's eager peer in `gpu_peers.py`, in their order.

    The peer runs on torch's meta device under a recorder: shapes are exact, nothing is computed.
    """
    call = _call(case)
    recorder = _Recorder()
    with recorder:
        call()
    return recorder.passes


def _call(case: Case) -> Callable[[], Tensor]:
    meta = torch.device("meta")
    if case.op == "supcon_loss":
        z = torch.empty(case.shape, dtype=case.dtype, device=meta)
        groups = torch.empty(case.shape[0], dtype=torch.int64, device=meta)
        upstream = torch.empty((), device=meta)
        return gpu_supcon_peers.run(case, lambda x: supcon_peers.eager(x, groups), z, upstream)
    params = torch.zeros(case.draws, case.batch, 3)
    images = torch.empty(case.shape, dtype=torch.uint8, device=meta)
    form = torch.channels_last if case.layout == LAST else torch.contiguous_format
    if case.op == "contrastive_views":
        drawn = params_of(case).flatten(0, 1)
        views = gpu_contrastive_peers.batched(images, drawn, case.side, case.dtype, form)
        return lambda: views(images)
    if case.op == "fct_views":
        size = case.shape[1:3]
        sample = gpu_peers.grid_sampler(params, size, case.interpolation, meta)
        return gpu_peers.views_by(sample, images, case.draws, case.dtype, form)
    x = torch.empty(case.shape, dtype=case.dtype, device=meta)
    if case.layout == LAST:
        x = x.contiguous(memory_format=torch.channels_last)
    grad = torch.empty(case.draws, case.batch, device=meta)
    function: Callable[[Tensor], Tensor]
    if case.op == "feature_distance":
        function = functools.partial(gpu_peers.feature_distance, draws=case.draws)
    else:
        sample = gpu_peers.grid_sampler(params, case.shape[2:], case.interpolation, meta)
        function = gpu_peers.warp_distance_by(sample)
    return gpu_peers.gradient_of(function, x, grad) if case.backward else lambda: function(x)
