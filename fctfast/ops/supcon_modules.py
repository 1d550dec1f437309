"""The contrastive losses as modules, called as users of SupContrast call theirs."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from fctfast.ops._checks import require_tensor, shape_of
from fctfast.ops.supcon_loss import (
    check_process_group,
    check_temperatures,
    semi_supervised_groups,
    supcon_loss,
)


class _Contrastive(nn.Module):
    """What the three share: temperatures, processes, and [B, V, D] to view-major rows."""

    def __init__(
        self,
        temperature: float,
        base_temperature: float | None,
        process_group: ProcessGroup | None,
    ) -> None:
        super().__init__()
        check_temperatures(
            temperature, temperature if base_temperature is None else base_temperature
        )
        check_process_group(process_group)
        self.temperature = temperature
        self.base_temperature = base_temperature
        self.process_group = process_group

    def extra_repr(self) -> str:
        return f"temperature={self.temperature}, base_temperature={self.base_temperature}"

    def _loss(self, features: Tensor, group: Tensor) -> Tensor:
        z = features.flatten(2).transpose(0, 1).flatten(0, 1)
        return supcon_loss(z, group, self.temperature, self.base_temperature, self.process_group)

    def _ids(self, samples: int, device: torch.device) -> Tensor:
        """Numbers of this batch's samples, distinct over the processes."""
        rank = 0 if self.process_group is None else dist.get_rank(self.process_group)
        return torch.arange(samples, device=device) + (rank << 32)


class SupConLoss(_Contrastive):
    """Supervised contrastive loss, S-CTL; without labels that of SimCLR.

    Takes the place of SupContrast's `SupConLoss(temperature=.07)`: the same call, and the same
    value for rows of unit length (others are normalised here). An anchor without a positive does
    not count; there it makes the loss NaN or, in later versions, counts as 0 in the mean.

    Args:
        temperature: t, default .07.
        contrast_mode: "all" alone: every view is an anchor.
        base_temperature: scales the loss by t / base_temperature, default .07.
        process_group: see :func:`~fctfast.ops.supcon_loss`.

    Raises:
        ValueError: another contrast_mode.

    Source: Khosla et al. 2020; Eq. 10.

    Example:
        >>> loss = SupConLoss(temperature=0.1)
        >>> loss(features, labels)  # features [B, views, D], labels [B]
    """

    def __init__(
        self,
        temperature: float = 0.07,
        contrast_mode: str = "all",
        base_temperature: float | None = 0.07,
        process_group: ProcessGroup | None = None,
    ) -> None:
        super().__init__(temperature, base_temperature, process_group)
        if contrast_mode != "all":
            raise ValueError(
                f"SupConLoss: expected contrast_mode='all', got {contrast_mode!r}; with 'one' the "
                "rows of the other views are no anchors, which this loss does not have"
            )

    def forward(
        self, features: Tensor, labels: Tensor | None = None, mask: Tensor | None = None
    ) -> Tensor:
        """Loss of a batch.

        Args:
            features: float32, bfloat16 or float16 [B, views, ...]; what follows is flattened.
            labels: int64 [B] (or [B, 1]); default: each sample by itself.
            mask: [B, B] of 0 and 1, 1 where column j is a positive of row i, in the place of
                labels; it must sort the samples into classes (i ~ j and j ~ k say i ~ k). Looking
                at it breaks the graph of torch.compile; labels do not.

        Returns:
            float32 [].

        Raises:
            TypeError: labels are no whole numbers.
            ValueError: shapes do not fit, labels and mask together, a mask of other values or
                that is no partition.
        """
        _check_features("SupConLoss", features)
        samples, views = features.shape[:2]
        if labels is not None and mask is not None:
            raise ValueError("SupConLoss: expected labels or mask, got both")
        ids = self._ids(samples, features.device)
        if mask is not None:
            number = ids[_classes_of(mask, samples).to(features.device)]
        elif labels is not None:
            require_tensor("SupConLoss", "labels", labels)
            if labels.is_floating_point() or labels.is_complex():
                raise TypeError(f"SupConLoss: expected whole labels, got {shape_of(labels)}")
            number = labels.flatten()
            if len(number) != samples:
                raise ValueError(
                    f"SupConLoss: expected labels [{samples}], one a sample, got {shape_of(labels)}"
                )
        else:
            number = ids
        return self._loss(features, number.to(features.device, torch.int64).repeat(views))


class SimCLRLoss(_Contrastive):
    """NT-Xent: each view against all others of the batch, the sample's own as positives; CTL.

    Args:
        temperature: t, default .5 (SimCLR on CIFAR-10).
        base_temperature: scales the loss; default: temperature, which leaves it as it is.
        process_group: see :func:`~fctfast.ops.supcon_loss`.

    Source: Chen et al. 2020; Eq. 9.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        base_temperature: float | None = None,
        process_group: ProcessGroup | None = None,
    ) -> None:
        super().__init__(temperature, base_temperature, process_group)

    def forward(self, features: Tensor) -> Tensor:
        """Loss of a batch [B, views, ...], float32 []."""
        _check_features("SimCLRLoss", features)
        samples, views = features.shape[:2]
        return self._loss(features, self._ids(samples, features.device).repeat(views))


class SSCTLLoss(_Contrastive):
    """Semi-supervised contrastive loss: S-CTL inside D_c, CTL for every other sample.

    Args:
        temperature: t, default .1 (as published).
        base_temperature: scales the loss by t / base_temperature, default .07 (as published).
        process_group: see :func:`~fctfast.ops.supcon_loss`.

    Source: Eq. 2.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        base_temperature: float | None = 0.07,
        process_group: ProcessGroup | None = None,
    ) -> None:
        super().__init__(temperature, base_temperature, process_group)

    def forward(self, features: Tensor, labels: Tensor, clean: Tensor) -> Tensor:
        """Loss of a batch.

        Args:
            features: float32, bfloat16 or float16 [B, views, ...].
            labels: int64 [B], as given with the data; only those of D_c are used.
            clean: bool [B], True in D_c.

        Returns:
            float32 [].

        Raises:
            TypeError: labels are not an int64 tensor, or clean is not a bool one.
            ValueError: shapes do not fit.
        """
        _check_features("SSCTLLoss", features)
        samples, views = features.shape[:2]
        for name, value in (("labels", labels), ("clean", clean)):
            require_tensor("SSCTLLoss", name, value)
        if labels.shape != (samples,):
            raise ValueError(
                f"SSCTLLoss: expected labels [{samples}], one a sample, got {shape_of(labels)}"
            )
        ids = self._ids(samples, features.device)
        groups = semi_supervised_groups(
            labels.to(features.device), clean.to(features.device), views, ids
        )
        return self._loss(features, groups)


def _check_features(op: str, features: Tensor) -> None:
    require_tensor(op, "features", features)
    if features.dim() < 3:
        raise ValueError(f"{op}: expected features [B, views, D], got {shape_of(features)}")


def _classes_of(mask: Tensor, samples: int) -> Tensor:
    """Number the classes of a mask: the first sample that each sample is like."""
    require_tensor("SupConLoss", "mask", mask)
    if mask.shape != (samples, samples):
        raise ValueError(f"SupConLoss: expected mask [{samples}, {samples}], got {shape_of(mask)}")
    if not samples:
        return torch.zeros(0, dtype=torch.int64)
    alike = mask != 0
    if not torch.equal(alike.to(mask.dtype), mask):
        raise ValueError(
            "SupConLoss: expected a mask of 0 and 1, got other values: weighted positives have no "
            "kernel here; for them use fctfast.ops.reference.contrastive_loss"
        )
    number = alike.int().argmax(1)
    if not torch.equal(alike, number[:, None] == number[None, :]):
        raise ValueError(
            "SupConLoss: expected a mask that sorts the samples into classes (symmetric, ones on "
            "the diagonal, i ~ j and j ~ k say i ~ k); for any other use "
            "fctfast.ops.reference.contrastive_loss"
        )
    return number
