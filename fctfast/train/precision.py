"""Number format of the forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn

from fctfast.train.settings import PRECISIONS


def resolve_precision(precision: str, device: torch.device) -> str:
    """Turn ``auto`` into ``float32`` or ``bfloat16``.

    ``auto`` is bfloat16 where the hardware multiplies it: a GPU that has it, or a CPU with
    AVX512-BF16. Elsewhere it is float32. Measured on two cores of such a CPU, a training step of
    the width-16 ResNet-18 at 128 images of 32x32, torch 2.14, least of six: float32 152 ms, float32
    channels last 111, bfloat16 97, bfloat16 channels last 78. ``torch.compile`` changed these times
    by less than a tenth and compiled for 20 to 270 s, so it is not used.

    Args:
        precision: ``auto``, ``float32`` or ``bfloat16``.
        device: where the network runs.

    Returns:
        ``float32`` or ``bfloat16``.

    Raises:
        ValueError: another word.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected {', '.join(PRECISIONS)}, got {precision!r}")
    if precision != "auto":
        return precision
    return "bfloat16" if _multiplies_bfloat16(device) else "float32"


def forward_context(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Make the context of a forward pass: autocast for ``bfloat16``, nothing for ``float32``."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def bfloat16_gradients_are_garbage(network: nn.Module, image: tuple[int, int, int]) -> bool:
    """Find a network and image size for which bfloat16 on the CPU gives garbage gradients.

    oneDNN 3.12 (torch 2.14) leaves the weight gradient of a strided 3x3 convolution of a 1x1 map
    unwritten at the eight kernel taps that see padding alone: it holds what the memory held before,
    up to 1e34 (2x2 and 3x3 maps came out right). Such maps come from small images under a deep stem
    (torchvision's ResNet-18 at 16x16).

    Args:
        network: any classifier on the CPU; left in the mode it came in.
        image: (channels, height, width).

    Returns:
        True to stay away from bfloat16.
    """
    found: list[bool] = []

    def look(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, nn.Conv2d):
            sides = zip(inputs[0].shape[2:], module.kernel_size, module.stride, strict=True)
            found.append(any(side == 1 < kernel and stride > 1 for side, kernel, stride in sides))

    modes = {module: module.training for module in network.modules()}
    hooks = [m.register_forward_pre_hook(look) for m in modes if isinstance(m, nn.Conv2d)]
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, *image))
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return any(found)


@contextmanager
def repeatable_kernels(device: torch.device) -> Iterator[None]:
    """Choose cuDNN kernels that give the same bits twice, for the duration of a block.

    The CPU's kernels do so anyway. The flag is put back afterwards.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def preferred_memory_format(device: torch.device, network: nn.Module) -> torch.memory_format:
    """Choose the layout of images and weights: channels last, which is faster on both.

    Except for what corrupts the heap: on CPUs with AVX-512, oneDNN 3.12 (torch 2.14) stores past
    the end of its scratch memory in the weight gradient of a strided 1x1 convolution of fewer than
    16 channels in that layout, found with a guard page behind every allocation. ResNets narrower
    than 16 have such shortcuts; they train in the default layout, where nothing is overwritten.

    Args:
        device: where the network trains.
        network: the network.

    Returns:
        ``torch.channels_last`` or ``torch.contiguous_format``.
    """
    unsafe = device.type == "cpu" and any(
        isinstance(m, nn.Conv2d)
        and m.kernel_size == (1, 1)
        and m.stride != (1, 1)
        and m.in_channels // m.groups < 16
        for m in network.modules()
    )
    return torch.contiguous_format if unsafe else torch.channels_last


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn ``auto`` into the first GPU, or the CPU where there is none.

    Raises:
        ValueError: the device does not exist here.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {device!r} cannot be used here: {error}") from error
    return chosen


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    ask = getattr(torch.cpu, "get_capabilities", None)  # newer than the oldest torch supported
    has = ask() if device.type == "cpu" and ask is not None else {}
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))
