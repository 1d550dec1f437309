"""What is measured of each class before it is judged; test_verdict.py has what comes of it."""

from __future__ import annotations

import math

import pytest
import torch

from fctfast.detect.evidence import weigh
from fctfast.train.progress import Quiet


def test_labels_and_sizes_that_do_not_fit_are_refused() -> None:
    for labels in (torch.tensor([0, 3]), torch.tensor([0, -1])):
        with pytest.raises(ValueError, match=r"expected labels in 0\.\.2, got"):
            weigh(torch.ones(2), labels, 3)
    with pytest.raises(ValueError, match="sizes of 3 classes, got 2"):
        weigh(torch.ones(2), torch.tensor([0, 1]), 3, sizes=torch.tensor([1, 1]))


@pytest.mark.parametrize("distinct", [3, 1000])
def test_others_are_the_samples_of_all_other_classes(distinct: int) -> None:
    made = torch.Generator().manual_seed(8)
    labels = torch.randint(0, 7, (501,), generator=made) ** 2 % 7  # some classes have nobody
    fct = torch.randint(0, distinct, (501,), generator=made).double()
    others = weigh(fct, labels, 7).others
    for number in range(7):
        rest = fct[(labels != number) & (fct > 0)].log()
        assert others[number] == float(rest.median())
    assert weigh(fct[:0], labels[:0], 2).others == (-math.inf, -math.inf)


@pytest.mark.parametrize(("classes", "counted"), [(20, 0), (21, 21)])
def test_many_classes_are_reported(classes: int, counted: int) -> None:
    class Counting(Quiet):
        steps = 0

        def advance(self, steps: int = 1, **facts: float | str) -> None:
            self.steps += steps

    progress = Counting()
    weigh(torch.rand(2 * classes), torch.arange(2 * classes) % classes, classes, progress=progress)
    assert progress.steps == counted
