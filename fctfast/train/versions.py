"""What the bits of a result depend on beside its settings."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

import torch

from fctfast import __version__
from fctfast.train.precision import resolve_precision

_LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "pyarrow", "safetensors")


def versions() -> dict[str, str]:
    """List versions, machine and thread count, as run.json records them.

    `auto_precision` is what precision "auto" trains in: it depends on the machine.
    """
    found = {"fctfast": __version__, "python": platform.python_version()}
    installed = {name for d in metadata.distributions() if (name := d.name.lower()) in _LIBRARIES}
    has_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if has_gpu else "cpu")
    return (
        found
        | {name: metadata.version(name) for name in sorted(installed)}
        | {
            "platform": f"{sys.platform} {platform.machine()}",
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "gpu": torch.cuda.get_device_name() if has_gpu else "none",
            "auto_precision": resolve_precision("auto", device),
            "threads": str(torch.get_num_threads()),
        }
    )
