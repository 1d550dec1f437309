"""A network in training on a GPU as one captured graph forward and one backward.

A ResNet-18 of width 16 is some hundreds of kernels of a few microseconds each, which the GPU waits
for: launching them one by one takes several times as long as running them. FCTFAST_CUDA_GRAPHS=0 in
the environment launches them one by one.
"""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from fctfast.train.precision import forward_context

COMES_AGAIN = 10
"""Batches of one shape before it is worth a capture, which costs as much as some tens of steps."""

MOST_PIXELS = 1 << 20
"""Of a batch. Larger ones keep a GPU busy, and a graph keeps memory for all its activations."""

_CAPTURED = (
    nn.Conv2d, nn.BatchNorm2d, nn.Linear, nn.ReLU, nn.MaxPool2d, nn.AvgPool2d,
    nn.AdaptiveAvgPool2d, nn.Flatten, nn.Identity,
)  # fmt: skip
"""Layers that neither draw random numbers nor look at values: a replay does what a call does."""
_CONTAINERS = ("fctfast.", "torch.nn.modules.container", "torchvision.models.resnet")


class Outputs(nn.Module):
    """Features and logits of a feature model, float32 whatever it runs in.

    Args:
        model: feature model.
        precision: "float32" or "bfloat16".
        device: where it runs.
    """

    def __init__(self, model: nn.Module, precision: str, device: torch.device) -> None:
        super().__init__()
        self.model, self.precision, self.device = model, precision, device

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map float ``[B, C, H, W]`` to features ``[B, D]`` and logits ``[B, K]``."""
        with forward_context(self.precision, self.device):
            features = self.model.features(images)  # type: ignore[operator]
            logits = self.model.classify(features)  # type: ignore[operator]
        return features.float(), logits.float()


class Graphs:
    """Calls a network in training, by a captured graph where there is one for the batch's shape.

    The outputs of a replay are overwritten by the next one: a step must be done with them.

    Args:
        outputs: the network.
    """

    def __init__(self, outputs: Outputs) -> None:
        self.outputs = outputs
        wanted = os.environ.get("FCTFAST_CUDA_GRAPHS", "1") != "0"
        self.possible = wanted and outputs.device.type == "cuda" and capturable(outputs.model)
        self.seen: dict[torch.Size, int] = {}
        self.captured: dict[torch.Size, Outputs] = {}

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network; see :meth:`Outputs.forward`."""
        shape = images.shape
        if shape in self.captured:
            made: tuple[Tensor, Tensor] = self.captured[shape](images)
            return made
        if self.possible and shape[0] * shape[2:].numel() <= MOST_PIXELS:
            self.seen[shape] = self.seen.get(shape, 0) + 1
            if self.seen[shape] > COMES_AGAIN:
                self.captured[shape] = self._capture(images)
                return self(images)
        made = self.outputs(images)
        return made

    def _capture(self, images: Tensor) -> Outputs:
        # A graphed module answers for itself in this mode only; the network itself is not touched.
        mine = Outputs(self.outputs.model, self.outputs.precision, self.outputs.device)
        mine.train(self.outputs.model.training)
        statistics = [(buffer, buffer.clone()) for buffer in mine.buffers()]
        # Gradients are added up on the stream of the capture, which waits for that of the replay.
        warn = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
        if warn is not None:
            warn(False)
        graphed: Outputs = torch.cuda.make_graphed_callables(  # type: ignore[assignment]
            mine, (images.clone(memory_format=torch.preserve_format),), allow_unused_input=True
        )
        with torch.no_grad():  # the runs before a capture have moved them
            for buffer, before in statistics:
                buffer.copy_(before)
        return graphed


def capturable(model: nn.Module) -> bool:
    """Whether a network consists of nothing but layers that a graph repeats faithfully.

    A subclass of one of them may do anything, and a replay calls no hook.
    """
    return all(
        (type(layer) in _CAPTURED or type(layer).__module__.startswith(_CONTAINERS))
        and not (layer._forward_hooks or layer._forward_pre_hooks or layer._backward_hooks)
        for layer in model.modules()
    )
