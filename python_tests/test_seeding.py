"""Keyed randomness: what is drawn depends on its name and on nothing else."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fctfast.seeding import derive_seed, generator, permutation

PINNED = [1, 4, 6, 7, 2, 5, 3, 0]


def test_seed_is_the_documented_hash() -> None:
    digest = hashlib.blake2b(b'[10, "poison", 3, 7]', digest_size=8).digest()
    assert derive_seed(10, "poison", 3, 7) == int.from_bytes(digest, "little") >> 1


@given(st.integers(), st.text(min_size=1), st.lists(st.integers(), max_size=3))
def test_seed_fits_in_63_bits_and_repeats(seed: int, purpose: str, keys: list[int]) -> None:
    value = derive_seed(seed, purpose, *keys)
    assert 0 <= value < 2**63
    assert value == derive_seed(seed, purpose, *keys)


def test_every_part_of_the_key_counts() -> None:
    seeds = {
        derive_seed(0, "a"),
        derive_seed(1, "a"),
        derive_seed(0, "b"),
        derive_seed(0, "a", 1),
        derive_seed(0, "a", 1, 1),
        derive_seed(0, "a", 11),
        derive_seed(0, "a1", 1),
    }
    assert len(seeds) == 7


def test_numpy_and_torch_integers_are_the_same_key() -> None:
    assert derive_seed(np.int64(5), "a", np.int32(2)) == derive_seed(5, "a", 2)
    assert derive_seed(5, "a", torch.tensor(2)) == derive_seed(5, "a", 2)


def test_wrong_keys_say_what_was_expected() -> None:
    with pytest.raises(TypeError, match=r"expected seed to be an integer, got 0\.5"):
        derive_seed(0.5, "a")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="expected key to be an integer, got 'x'"):
        derive_seed(0, "a", "x")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="purpose to be a string"):
        derive_seed(0, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="empty"):
        derive_seed(0, "")


def test_generator_leaves_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    first = torch.rand(3, generator=generator(1, "x", 2))
    again = torch.rand(3, generator=generator(1, "x", 2))
    other = torch.rand(3, generator=generator(1, "x", 3))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@given(st.integers(0, 300), st.integers(0, 2**40))
def test_permutation_holds_every_number_once(n: int, seed: int) -> None:
    order = permutation(n, seed, "order")
    assert order.dtype == torch.int64
    assert order.sort().values.tolist() == list(range(n))


def test_permutation_is_the_one_written_down() -> None:
    # A poisoned set's recipe rests on this order: it must outlive every library version.
    assert permutation(8, 0, "poison").tolist() == PINNED
    assert permutation(8, 1, "poison").tolist() != PINNED


def test_permutation_spreads_evenly() -> None:
    first = [int(permutation(4, seed, "order")[0]) for seed in range(2000)]
    # Binomial(2000, 1/4) has a standard deviation of 19.4; five of them around 500.
    assert all(403 < first.count(value) < 597 for value in range(4))


def test_permutation_refuses_a_negative_length() -> None:
    with pytest.raises(ValueError, match="n >= 0, got -1"):
        permutation(-1, 0, "order")
