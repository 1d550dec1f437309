"""Keyed randomness: every draw is named by (seed, purpose, keys), never by the order of calls.

A result that depends on how many numbers something else has drawn before it cannot be repeated
when the batch size, the loader or the number of workers changes. Here each use of randomness asks
for its own stream by name, so nothing has to be drawn in order and no global generator is touched.
"""

from __future__ import annotations

import hashlib
import json
from operator import index

import numpy as np
import torch

_SEED_BITS = 63  # torch and Python agree on a signed 64-bit seed that is not negative


def derive_seed(seed: int, purpose: str, *keys: int) -> int:
    """Hash (seed, purpose, keys) into a seed of its own, the same on every machine and version.

    Args:
        seed: the run's seed, any integer.
        purpose: what the randomness is for, such as ``"poison"``; not empty.
        *keys: integers that tell uses of one purpose apart (an epoch, a step, a sample id).

    Returns:
        A number in [0, 2^63).

    Raises:
        TypeError: seed or a key is no integer, or purpose is no string.
        ValueError: purpose is empty.

    Source: docs/architecture.md, "What is random".

    Example:
        >>> derive_seed(0, "poison") == derive_seed(0, "poison")
        True
    """
    if not isinstance(purpose, str):
        raise TypeError(f"derive_seed: expected purpose to be a string, got {purpose!r}")
    if not purpose:
        raise ValueError("derive_seed: expected purpose to name a use, got an empty string")
    parts: list[int | str] = [_integer("seed", seed), purpose]
    parts += [_integer("key", key) for key in keys]
    # JSON separates the parts without ambiguity: ("a", 11) and ("a1", 1) never meet.
    digest = hashlib.blake2b(json.dumps(parts).encode("ascii"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> (64 - _SEED_BITS)


def generator(seed: int, purpose: str, *keys: int) -> torch.Generator:
    """Make a CPU generator of its own for one use.

    Args:
        seed: the run's seed.
        purpose: what the randomness is for.
        *keys: integers that tell uses of one purpose apart.

    Returns:
        A fresh ``torch.Generator`` on the CPU, seeded by :func:`derive_seed`.

    Raises:
        TypeError: as :func:`derive_seed`.
        ValueError: as :func:`derive_seed`.
    """
    made = torch.Generator(device="cpu")
    made.manual_seed(derive_seed(seed, purpose, *keys))
    return made


def permutation(n: int, seed: int, purpose: str, *keys: int) -> torch.Tensor:
    """Draw a random order of 0 .. n-1 that no library version changes.

    The order is the stable sort of a counter-based stream (Philox) whose bits NumPy promises to
    keep; ``torch.randperm`` makes no such promise, and which samples a recipe poisons rests on it.

    Args:
        n: how many numbers to order, at least 0.
        seed: the run's seed.
        purpose: what the order is for.
        *keys: integers that tell uses of one purpose apart.

    Returns:
        int64 [n], each of 0 .. n-1 exactly once.

    Raises:
        ValueError: n is negative.
        TypeError: as :func:`derive_seed`.
    """
    n = _integer("n", n)
    if n < 0:
        raise ValueError(f"permutation: expected n >= 0, got {n}")
    stream = np.random.Philox(key=derive_seed(seed, purpose, *keys))
    order = np.argsort(stream.random_raw(n), kind="stable")
    return torch.from_numpy(order.astype(np.int64, copy=False))


def _integer(name: str, value: int) -> int:
    try:
        return index(value)
    except TypeError:
        raise TypeError(
            f"randomness is keyed by integers: expected {name} to be an integer, got {value!r}"
        ) from None
