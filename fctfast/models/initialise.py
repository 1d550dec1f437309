"""Initial weights keyed by (seed, parameter name)."""

from __future__ import annotations

import math

import torch
from torch import nn

from fctfast.seeding import generator

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


@torch.no_grad()
def initialise(model: nn.Module, seed: int) -> None:
    """Fill every parameter and buffer of ``model`` in place.

    Convolutions: Kaiming normal over fan-out; linear layers: uniform in +-1/sqrt(fan-in);
    normalisations: scale 1, shift 0, fresh running statistics. Each tensor has a generator of its
    own, so adding a layer does not change the others' weights.

    Args:
        model: network made of convolutions, linear layers and normalisations.
        seed: key.

    Raises:
        ValueError: a layer holds parameters for which there is no rule.

    Source: He et al., CVPR 2015 and 2016.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size) // module.groups
            rng = generator(seed, f"init/{name}.weight")
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=rng)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.Linear):
            bound = 1.0 / math.sqrt(module.in_features)
            rng = generator(seed, f"init/{name}.weight")
            module.weight.uniform_(-bound, bound, generator=rng)
            if module.bias is not None:
                rng = generator(seed, f"init/{name}.bias")
                module.bias.uniform_(-bound, bound, generator=rng)
        elif isinstance(module, _NORMS):
            # Written out, because reset_parameters of a user's subclass may draw.
            if module.weight is not None:
                module.weight.fill_(1.0)
            if module.bias is not None:
                module.bias.zero_()
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.reset_running_stats()
        elif next(module.parameters(recurse=False), None) is not None:
            raise ValueError(
                f"initialise: no rule for the parameters of {name or 'the model'} "
                f"({type(module).__name__}); add one to fctfast/models/initialise.py"
            )
