"""The supervised contrastive loss in tiles: CTL, S-CTL and SS-CTL, and no N x N array."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from fctfast.ops import _library  # noqa: F401  (registers the op)
from fctfast.ops._checks import no_tangent, once_differentiable, require_tensor, shape_of
from fctfast.ops._gathered import DTYPES, GatheredSupConLoss

OP = "supcon_loss"
ALL = -1
"""Number of own rows that stands for all from the first on: a number would fix N when compiled."""

MIN_TEMPERATURE = 1e-3
"""Below it s / t, rounded to float32, says too little about its exponential."""


@torch.library.register_fake(f"fctfast::{OP}")
def _(
    z: Tensor,
    group: Tensor,
    first: int,
    rows: int,
    temperature: float,
    base_temperature: float,
    tf32: bool,
) -> tuple[Tensor, Tensor]:
    own = z.shape[0] - first if rows == ALL else rows
    return z.new_empty((), dtype=torch.float32), z.new_empty((own, 2), dtype=torch.float64)


@torch.library.register_fake(f"fctfast::{OP}_backward")
def _backward_fake(
    grad: Tensor,
    z: Tensor,
    group: Tensor,
    statistics: Tensor,
    first: int,
    rows: int,
    temperature: float,
    base_temperature: float,
    tf32: bool,
) -> Tensor:
    return z.new_empty((z.shape[0] - first if rows == ALL else rows, z.shape[1]))


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    z, group, ctx.first, ctx.rows, *ctx.how = inputs
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(z, group, output[1])


def _backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    z, group, statistics = ctx.saved_tensors
    if ctx.rows not in (ALL, z.shape[0]) or ctx.first:
        raise NotImplementedError(
            f"{OP}: rows of another process have no gradient here; pass process_group"
        )
    made = torch.ops.fctfast.supcon_loss_backward(grad, z, group, statistics, 0, ALL, *ctx.how)
    return made, None, None, None, None, None, None


torch.library.register_autograd(f"fctfast::{OP}", _backward, setup_context=_setup)
once_differentiable(OP)


def supcon_loss(
    z: Tensor,
    group: Tensor,
    temperature: float = 0.1,
    base_temperature: float | None = None,
    process_group: ProcessGroup | None = None,
) -> Tensor:
    """Supervised contrastive loss of embeddings against all others of the batch.

    Row j is a positive of row i where `group[i] == group[j]` and i != j. One vector so expresses
    CTL (SimCLR, NT-Xent: the sample's number), S-CTL (SupCon: the label) and SS-CTL (see
    :func:`semi_supervised_groups`). With unit rows and s_ij their products, an anchor's loss is
    `-(1/n_i) sum_positives s_ij/t + log sum_{j != i} exp(s_ij/t)`, times t / base_temperature; the
    mean is taken over the anchors that have a positive.

    Memory beside z grows with N x D; work is two N x N x D products (eager torch takes three), a
    half more below a temperature of about .013, and three for the own rows of several processes.
    On CUDA it is three products, two and a half in float32 from 4,096 rows on; rows of more than
    128 features take up to 32 MiB more, or 2 KiB a row. float32 rows are multiplied there in
    float32, or in tf32 while `torch.backends.cuda.matmul.fp32_precision` is "tf32"; 16-bit ones in
    float16.

    Args:
        z: float32, bfloat16 or float16 [N, D], for two views the first of all samples, then the
            second. Rows are normalised here, in float32 whatever the input; a row of zeros is left
            one (its similarities are 0, and so is its gradient).
        group: int64 [N], any numbers, on z's device.
        temperature: t, at least .001; default .1 (appendix C.5's code).
        base_temperature: scales the loss; default: temperature, which leaves it as it is.
        process_group: z holds this process's rows, of as many as it likes; the denominators and
            positives are those of all processes' rows together (group must be numbered alike
            everywhere). Each process returns the loss of all; the gradients' mean over the
            processes, which DDP takes, is that of one process with all rows. Temperatures, D,
            dtype and, for float32 on CUDA, whether tf32 is allowed have to be the same
            everywhere; torch.compile breaks its graph here. Default: one process.

    Returns:
        float32 [], differentiable once in z, backward alone; 0 where no row has a positive. The
        same bits on every run and for every number of threads.

    Raises:
        TypeError: z or group is no tensor, or of another dtype; what is no process group; a
            temperature that is no number (it has no gradient here: a learnt one needs
            :func:`fctfast.ops.reference.supcon_loss`).
        ValueError: shapes or devices do not fit, a temperature below .001, a base_temperature that
            is not above 0, processes that differ in what has to be the same (all of them raise; one
            whose own arguments are wrong raises alone, and the others wait for it).
        NotImplementedError: forward-mode derivatives.

    Source: Eq. 2, 9 and 10; Khosla et al. 2020, L_out (its 1/|P(i)|, as the text under Eq. 2 says).

    Example:
        >>> z = torch.eye(4).repeat(2, 1)  # two views of four samples
        >>> supcon_loss(z, torch.arange(4).repeat(2), temperature=1.0)
        tensor(1.1654)
    """
    base = temperature if base_temperature is None else base_temperature
    _check(z, group, temperature, base)
    check_process_group(process_group)
    tf32 = z.is_cuda and z.dtype == torch.float32 and tf32_allowed()
    if process_group is None:
        loss: Tensor = torch.ops.fctfast.supcon_loss(z, group, 0, ALL, temperature, base, tf32)[0]
        return loss
    gathered: Tensor = GatheredSupConLoss.apply(z, group, temperature, base, tf32, process_group)
    return gathered


@torch.compiler.assume_constant_result
def tf32_allowed() -> bool:
    """Whether torch's own products of float32 matrices may be made in tf32 on CUDA."""
    return bool(torch.backends.cuda.matmul.fp32_precision == "tf32")


def semi_supervised_groups(
    labels: Tensor, clean: Tensor, views: int = 2, ids: Tensor | None = None
) -> Tensor:
    """Groups of SS-CTL: samples of D_c by label, each other sample with its own views alone.

    Args:
        labels: int64 [B], at least 0 (not checked: it would wait for a GPU).
        clean: bool [B], True in D_c.
        views: V, views of each sample, at least 1.
        ids: int64 [B], at least 0, distinct over all processes; default: 0 to B - 1, which is for
            one process.

    Returns:
        int64 [V*B], view by view, for :func:`supcon_loss`.

    Raises:
        TypeError: labels or ids are not int64, or clean is not bool.
        ValueError: lengths differ, or views below 1.

    Source: Eq. 2.
    """
    op = "semi_supervised_groups"
    require_tensor(op, "labels", labels)
    ids = torch.arange(labels.numel(), device=labels.device) if ids is None else ids
    for name, value, dtype in (
        ("labels", labels, torch.int64),
        ("clean", clean, torch.bool),
        ("ids", ids, torch.int64),
    ):
        require_tensor(op, name, value)
        if value.dtype != dtype:
            raise TypeError(
                f"{op}: expected {name} {str(dtype).removeprefix('torch.')}, got {shape_of(value)}"
            )
        if labels.dim() != 1 or value.shape != labels.shape:
            raise ValueError(
                f"{op}: expected {name} [B], one a sample, got {shape_of(value)} beside labels "
                f"{list(labels.shape)}"
            )
    if views < 1:
        raise ValueError(f"{op}: expected at least one view, got views={views}")
    # Looked at where it costs nothing: -1 - id stands for a sample whose label is not trusted.
    if labels.device.type == "cpu" and not torch.compiler.is_compiling():
        wrong = labels[clean & (labels < 0)]
        if wrong.numel():
            raise ValueError(f"{op}: expected clean labels of at least 0, got {int(wrong[0])}")
    return torch.where(clean, labels, -1 - ids).repeat(views)


def _check(z: Tensor, group: Tensor, temperature: float, base: float) -> None:
    require_tensor(OP, "z", z)
    require_tensor(OP, "group", group)
    no_tangent(OP, z)
    if z.dtype not in DTYPES:
        hint = "; fctfast.ops.reference.supcon_loss takes float64" * (z.dtype == torch.float64)
        raise TypeError(f"{OP}: expected z float32, bfloat16 or float16, got {shape_of(z)}{hint}")
    if group.dtype != torch.int64:
        raise TypeError(f"{OP}: expected group int64, got {shape_of(group)}")
    if z.dim() != 2 or z.shape[1] < 1:
        raise ValueError(f"{OP}: expected z of shape [N, D], got {shape_of(z)}")
    if group.shape != z.shape[:1]:
        raise ValueError(f"{OP}: expected group [{len(z)}], one a row of z, got {shape_of(group)}")
    if group.device != z.device:
        raise ValueError(f"{OP}: expected group on {z.device} as z, got {shape_of(group)}")
    check_temperatures(temperature, base)


def check_process_group(given: object) -> None:
    """Refuse what is no process group.

    Args:
        given: one of torch.distributed, or None.

    Raises:
        TypeError: it is neither.
    """
    if not (given is None or isinstance(given, ProcessGroup)):
        raise TypeError(
            f"{OP}: expected process_group of torch.distributed (group.WORLD is that of all "
            f"processes), got {given!r}"
        )


def check_temperatures(temperature: float, base: float) -> None:
    """Refuse what the loss cannot be taken at.

    Args:
        temperature: t.
        base: base_temperature.

    Raises:
        TypeError: one is no number.
        ValueError: one is out of range.
    """
    for name, value in (("temperature", temperature), ("base_temperature", base)):
        if value is None or isinstance(value, (Tensor, str, complex, list, tuple)):
            hint = "; it has no gradient here, pass .item()" * isinstance(value, Tensor)
            raise TypeError(f"{OP}: expected {name} to be a number, got {value!r}{hint}")
    if not MIN_TEMPERATURE <= temperature < math.inf:
        raise ValueError(
            f"{OP}: expected temperature of at least {MIN_TEMPERATURE}, got {temperature}"
        )
    if not 0 < base < math.inf:
        raise ValueError(f"{OP}: expected base_temperature above 0, got {base}")
