"""tau: what is done to an image before its features are compared (paper Appendices C.5 and E).

A step is one file here: a class with a name, `draw` (random numbers, keyed by seed, id and draw)
and `apply` (uint8 images in, uint8 images out), with the decorator `register`. It then goes by its
name in `--transform NAME`, and in ordered pairs, `--transform a+b` (a first). The paper's,
rotate+affine, and its two halves go through the fused op instead of step by step; the pixels are
the same. `flip.py` is the shortest example.
"""

from __future__ import annotations

from fctfast.detect.transforms.compose import Transform, check_names, parse
from fctfast.detect.transforms.registry import Step, names, register

__all__ = ["Step", "Transform", "check_names", "names", "parse", "register"]
