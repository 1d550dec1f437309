from __future__ import annotations

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import torch

from fctfast.ops import reference, sample_rotate_affine
from fctfast.ops._checks import coefficients
from fctfast.ops.reference.affine import fixed_point_coefficients
from fctfast.ops.reference.sample_rotate_affine import philox4x32

TAU = (180.0, (0.2, 0.2), (32, 32))
OP = torch.ops.fctfast.sample_rotate_affine


def test_philox_equals_the_published_known_answers() -> None:
    # Random123's kat_vectors: philox4x32 10
    ones = 0xFFFFFFFF
    assert philox4x32((0, 0, 0, 0), (0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    assert philox4x32((ones,) * 4, (ones,) * 2) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert philox4x32(pi, (0xA4093822, 0x299F31D0)) == (
        0xD16CFE09,
        0x94FDCCEB,
        0x5001E420,
        0x24126EA1,
    )


@pytest.mark.parametrize("seed", [0, 1, -1, 2**40 + 3, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (224, 160)])
def test_equals_reference_bit_for_bit(seed: int, size: tuple[int, int]) -> None:
    ids = torch.tensor([0, 1, -1, 2**32, 2**62, 59_999])
    ours = sample_rotate_affine(ids, seed, range(2, 5), 180.0, (0.2, 0.3), size)
    theirs = reference.sample_rotate_affine(ids, seed, range(2, 5), 180.0, (0.2, 0.3), size)
    assert ours.shape == (3, 6, 3)
    assert ours.dtype == torch.float32
    assert torch.equal(ours, theirs)


@hypothesis.given(
    ids=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=40),
    seed=st.integers(-(2**63), 2**63 - 1),
    draw=st.integers(0, 2**32 - 1),
    data=st.data(),
)
@hypothesis.settings(deadline=None, max_examples=60)
def test_depends_on_seed_id_and_draw_alone(
    ids: list[int], seed: int, draw: int, data: st.DataObject
) -> None:
    whole = sample_rotate_affine(torch.tensor(ids), seed, draw, *TAU)
    order = data.draw(st.permutations(range(len(ids))))
    shuffled = sample_rotate_affine(torch.tensor(ids)[order], seed, draw, *TAU)
    assert torch.equal(shuffled, whole[order])
    cut = data.draw(st.integers(0, len(ids)))
    parts = [
        sample_rotate_affine(torch.tensor(p), seed, draw, *TAU) for p in (ids[:cut], ids[cut:]) if p
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_a_range_is_its_draws_stacked() -> None:
    ids = torch.arange(7)
    stacked = torch.stack([sample_rotate_affine(ids, 3, d, *TAU) for d in range(4, 9)])
    assert torch.equal(sample_rotate_affine(ids, 3, range(4, 9), *TAU), stacked)


def test_distribution_is_the_papers_tau() -> None:
    params = sample_rotate_affine(torch.arange(200_000), 5, 0, *TAU).double()
    angle, dx, dy = params.unbind(1)
    assert -180 <= angle.min() < -179.9
    assert 179.9 < angle.max() < 180
    # Kolmogorov-Smirnov against the uniform: 1.95 / sqrt(n) is the .001 level.
    sorted_angle = (angle.sort().values + 180) / 360
    steps = torch.arange(1, 200_001, dtype=torch.float64) / 200_000
    assert float((sorted_angle - steps).abs().max()) < 1.95 / np.sqrt(200_000)
    for shift in (dx, dy):
        values, counts = shift.unique(return_counts=True)
        assert values.tolist() == list(range(-6, 7))  # round(U[-6.4, 6.4])
        # the ends get .9 of a step's probability, everything inside 1 / 12.8
        expected = torch.full((13,), 1 / 12.8, dtype=torch.float64)
        expected[0] = expected[-1] = 0.9 / 12.8
        sigma = (expected * (1 - expected) / 200_000).sqrt()
        assert bool(((counts / 200_000 - expected).abs() < 4.5 * sigma).all())
    assert float(np.corrcoef(params.T.numpy())[np.triu_indices(3, 1)].__abs__().max()) < 0.01


def test_neither_zero_nor_minus_zero_nor_empty_matters() -> None:
    params = sample_rotate_affine(torch.arange(5000), 0, 0, *TAU)
    assert not bool(torch.signbit(params[:, 1:][params[:, 1:] == 0]).any())
    assert sample_rotate_affine(torch.arange(0), 0, 0, *TAU).shape == (0, 3)
    assert sample_rotate_affine(torch.arange(4), 0, range(0), *TAU).shape == (0, 4, 3)
    assert torch.equal(
        sample_rotate_affine(torch.arange(3), 0, 0, 0.0, (0, 0), (8, 8)), torch.zeros(3, 3)
    )


def test_non_contiguous_ids() -> None:
    ids = torch.arange(20)
    assert torch.equal(
        sample_rotate_affine(ids[::2], 1, 0, *TAU), sample_rotate_affine(ids, 1, 0, *TAU)[::2]
    )


def test_opcheck_and_compile() -> None:
    ids = torch.arange(6)
    torch.library.opcheck(OP, (ids, 1, 0, 2, 180.0, 0.2, 0.2, 32, 32))
    torch.library.opcheck(torch.ops.fctfast.affine_coefficients, (torch.zeros(2, 3, 3), 8, 8, True))
    compiled = torch.compile(
        lambda i: sample_rotate_affine(i, 1, range(2), *TAU), fullgraph=True, backend="aot_eager"
    )
    assert torch.equal(compiled(ids), sample_rotate_affine(ids, 1, range(2), *TAU))


# Beyond these a turned corner no longer fits into 16.16: at 28,000 squared 84 % of the pixels of
# some angles came from elsewhere.
@pytest.mark.parametrize("size", [(27145, 27145), (32767, 1), (1, 32767), (20000, 29000)])
def test_the_largest_frames_have_exact_coefficients(size: tuple[int, int]) -> None:
    angles = torch.cat([torch.arange(-180.0, 180.0, 7.5), torch.tensor([45.001, -134.99])])
    params = torch.stack([angles, torch.zeros_like(angles), torch.zeros_like(angles)], 1)
    words = torch.ops.fctfast.affine_coefficients(params[None], *size, False)
    exact = fixed_point_coefficients(params, size)
    assert torch.equal(words[0].long(), exact)
    corners = torch.tensor([(x, y) for x in (0, size[1] - 1) for y in (0, size[0] - 1)])
    for row in (exact[:, :3], exact[:, 3:6]):
        places = row[:, 2:] + row[:, :1] * corners[:, 0] + row[:, 1:2] * corners[:, 1]
        assert int(places.abs().max()) < 2**31


@pytest.mark.parametrize("size", [(27146, 27146), (32767, 20000)])
def test_larger_frames_are_refused_for_nearest_alone(size: tuple[int, int]) -> None:
    params = torch.zeros(1, 3)
    with pytest.raises(ValueError, match=r"add up to less than 65536 pixels .* or use 'bilinear'"):
        coefficients("op", params, 1, size, "nearest")
    with pytest.raises(RuntimeError, match=r"diagonal below 65536"):
        torch.ops.fctfast.affine_coefficients(params[None], *size, False)
    assert coefficients("op", params, 1, size, "bilinear").shape == (1, 1, 6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"ids": [1, 2]}, TypeError, "expected ids to be a tensor, got list"),
        ({"ids": torch.zeros(2)}, TypeError, r"expected ids int64 \[B\] on the CPU, got float32"),
        ({"ids": torch.zeros(2, 2, dtype=torch.int64)}, ValueError, r"got int64 \[2, 2\]"),
        ({"draw": -1}, ValueError, "expected draw >= 0"),
        ({"draw": range(0, 4, 2)}, ValueError, "range of step 1"),
        ({"degrees": -1.0}, ValueError, "expected degrees and translate >= 0"),
        ({"translate": (0.1, -0.1)}, ValueError, "expected degrees and translate >= 0"),
        ({"size": 32}, TypeError, r"size \(height, width\) in pixels, got 32"),
        ({"size": (40_000, 32)}, ValueError, "at most 32767 pixels"),
    ],
)
def test_errors_teach(change: dict[str, object], error: type[Exception], words: str) -> None:
    arguments: dict[str, object] = {
        "ids": torch.arange(2),
        "seed": 0,
        "draw": 0,
        "degrees": 180.0,
        "translate": (0.2, 0.2),
        "size": (32, 32),
    }
    with pytest.raises(error, match=words):
        sample_rotate_affine(**{**arguments, **change})  # type: ignore[arg-type]
