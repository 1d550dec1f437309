"""What a result depends on beside its settings."""

from __future__ import annotations

import torch

import fctfast
from fctfast.train.versions import versions


def test_versions_machine_and_threads_are_listed() -> None:
    found = versions()
    assert found["fctfast"] == fctfast.__version__
    assert found["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert found["threads"] == str(torch.get_num_threads())
    assert all(isinstance(value, str) and value for value in found.values())
