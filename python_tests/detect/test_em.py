"""EM for many columns at once: scikit-learn's fits, and columns that have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from fctfast.detect.em import fit_two


def gaussian(count: int, seed: int, mean: float = 0.0, width: float = 1.0) -> torch.Tensor:
    made = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=made, dtype=torch.float64) * width + mean


@pytest.mark.parametrize("cut", [0.5, 0.97])
def test_em_is_that_of_scikit_learn(cut: float) -> None:
    columns = [
        torch.cat([gaussian(300, 3), gaussian(upper, 4, mean=apart, width=2.0)]).numpy()
        for upper, apart in ((200, 5.0), (30, 1.0), (0, 0.0), (1700, 8.0))
    ]
    columns = [(x - x.mean()) / x.std() for x in columns]
    for z, found in zip(columns, fit_two(columns, [cut]), strict=True):
        below, above = z[z < np.quantile(z, cut)], z[z >= np.quantile(z, cut)]
        theirs = GaussianMixture(
            2,
            weights_init=[len(below) / len(z), len(above) / len(z)],
            means_init=[[below.mean()], [above.mean()]],
            precisions_init=[[[1 / below.var()]], [[1 / above.var()]]],
            init_params="random_from_data",
            reg_covar=1e-4,
            max_iter=200,
            tol=1e-4,
            random_state=0,
        ).fit(z[:, None])
        assert found is not None
        assert found.weights == pytest.approx(theirs.weights_, rel=1e-9)
        assert found.means == pytest.approx(theirs.means_[:, 0], rel=1e-9)
        assert found.deviations == pytest.approx(np.sqrt(theirs.covariances_[:, 0, 0]), rel=1e-9)
        assert found.log_likelihood == pytest.approx(theirs.score(z[:, None]), rel=1e-9)


def test_a_column_without_two_values_on_either_side_of_a_cut_has_no_fit() -> None:
    short = np.array([-1.0, 0.0, 1.0])
    high = np.array([0.0] + [1.0] * 9)  # one value below any cut
    spread = gaussian(100, 1).numpy()
    empty, few, one, fitted = fit_two([short[:0], short, high, spread], [0.5, 0.9])
    assert (empty, few, one) == (None, None, None)
    assert fitted is not None
    assert fit_two([], [0.5]) == []


def test_repeated_values_are_narrow_groups_and_not_points() -> None:
    (found,) = fit_two([np.repeat([-1.0, 1.0], 50)], [0.75])
    assert found is not None
    assert found.means == pytest.approx((-1.0, 1.0), abs=1e-3)
    assert found.deviations == pytest.approx((1e-2, 1e-2), rel=0.1)
    assert found.weights == pytest.approx((0.5, 0.5), abs=1e-3)
