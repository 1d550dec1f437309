"""Facts about two groups of scores: found where they are, not where one group is enough."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.mixture import GaussianMixture

from fctfast.detect.mixture import MIN_SAMPLES, TwoGroups, groups_of_each, two_groups


def gaussian(count: int, seed: int, mean: float = 0.0, width: float = 1.0) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=made, dtype=torch.float64) * width + mean


def fitted(values: torch.Tensor) -> TwoGroups:
    found = two_groups(values)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(10))
def test_one_gaussian_is_one_group(seed: int) -> None:
    assert fitted(gaussian(1000, seed)).separation == 0.0


@pytest.mark.parametrize(("share", "apart"), [(0.5, 4.0), (0.2, 4.0), (0.05, 6.0)])
def test_two_groups_are_measured_at_any_scale(share: float, apart: float) -> None:
    upper = int(2000 * share)
    values = torch.cat([gaussian(2000 - upper, 1), gaussian(upper, 2, mean=apart)])
    for scale, offset in ((1.0, 0.0), (0.01, 5.0), (300.0, -7.0)):
        found = fitted(values * scale + offset)
        # Standard error of the separation near .1, of the share near .01.
        assert found.separation == pytest.approx(apart, abs=0.4)
        assert found.upper_share == pytest.approx(share, abs=0.03)
        assert found.means[1] - found.means[0] == pytest.approx(apart * scale, rel=0.1)


def test_columns_do_not_know_each_other() -> None:
    columns = [gaussian(40 + 90 * n % 700, n).cumsum(0) for n in range(60)]
    columns.insert(30, gaussian(20_000, 1))  # the longest, on which others would be padded
    columns.insert(0, torch.ones(100))
    together = groups_of_each(columns)
    assert together[0] is None
    for values, found in zip(columns[1:], together[1:], strict=True):
        alone = fitted(values)
        assert found is not None
        assert found.means == pytest.approx(alone.means, rel=1e-9)
        assert found.upper_share == pytest.approx(alone.upper_share, rel=1e-9)
        assert (found.samples, found.min_group) == (alone.samples, alone.min_group)


def test_it_is_the_likelihood_of_scikit_learns_fit() -> None:
    values = torch.cat([gaussian(300, 3), gaussian(200, 4, mean=5.0, width=2.0)])
    found = fitted(values)
    own = GaussianMixture(2, n_init=10, tol=1e-6, random_state=0).fit(values.numpy()[:, None])
    single = -0.5 * math.log(2 * math.pi * math.e * float(values.var(correction=0)))
    assert found.gain == pytest.approx(
        (own.score(values.numpy()[:, None]) - single) * 500, rel=0.01
    )


def test_the_posterior_is_bayes_rule_between_the_means_and_never_falls() -> None:
    groups = TwoGroups((0.0, 4.0), (1.0, 3.0), 0.3, 100.0, 500)
    values = torch.linspace(-40, 40, 801, dtype=torch.float64)
    posterior = groups.posterior(values)
    assert bool((posterior.diff() >= 0).all())
    inside = (values >= 0) & (values <= 4)
    low = 0.7 * torch.exp(-values.square() / 2)
    high = 0.3 * torch.exp(-((values - 4) / 3).square() / 2) / 3
    torch.testing.assert_close(posterior[inside], (high / (low + high))[inside])
    # The wider upper group would win the far left end.
    assert float(posterior[0]) < 0.2


def test_a_group_of_a_handful_does_not_count() -> None:
    values = torch.cat([gaussian(1000, 5), gaussian(10, 6, mean=30.0)])
    assert fitted(values).separation == 0.0
    assert fitted(values).samples == 1000
    found = two_groups(values, min_group=10)
    assert found is not None
    assert found.separation > 10
    more = torch.cat([gaussian(1000, 5), gaussian(40, 6, mean=30.0)])
    assert fitted(more).separation > 10


def test_too_few_or_equal_values_give_none() -> None:
    assert two_groups(gaussian(MIN_SAMPLES - 1, 0)) is None
    assert two_groups(torch.ones(100)) is None
    assert two_groups(torch.empty(0)) is None
    # Two values alone: each group is a repeated value.
    assert fitted((torch.arange(100) % 2).double()).separation > 10


@pytest.mark.parametrize("far", [-87.0, -30.0, -10.0, 60.0])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_single_values_far_off_do_not_hide_a_group(far: float, count: int) -> None:
    values = torch.cat([gaussian(280, 1), gaussian(120, 2, mean=4.5)])
    alone = fitted(values)
    found = fitted(torch.cat([values, torch.full((count,), far, dtype=torch.float64)]))
    assert alone.separation > 4
    assert found.separation == pytest.approx(alone.separation, rel=0.05)
    assert found.samples == 400
