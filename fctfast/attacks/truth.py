"""The truth about a poisoned set: which samples are poisoned.

Only evaluation and reports import this module; detection and repair never do (a test reads their
imports), so they cannot look at the answer by accident.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fctfast import io

TRUTH_FILE = "truth.parquet"


@dataclass(frozen=True)
class Truth:
    """Which samples were poisoned.

    Args:
        ids: int64 [N].
        poisoned: bool [N].
        true_labels: int64 [N], labels before the attack.
    """

    ids: Tensor
    poisoned: Tensor
    true_labels: Tensor

    def poisoned_among(self, ids: Tensor) -> Tensor:
        """Look samples up.

        Args:
            ids: int64 [M].

        Returns:
            bool [M], whether each is poisoned.

        Raises:
            ValueError: an id is not in the truth.
        """
        order = torch.argsort(self.ids)
        known = self.ids[order]
        position = torch.searchsorted(known, ids).clamp_(max=max(len(known) - 1, 0))
        missing = torch.ones(len(ids), dtype=torch.bool)
        if len(known):
            missing = known[position] != ids
        if bool(missing.any()):
            raise ValueError(
                f"truth: {int(missing.sum())} of {len(ids)} samples are not in it (first id "
                f"{int(ids[missing][0])}); is it the truth of another set?"
            )
        return self.poisoned[order][position]


def write_truth(folder: str | Path, ids: Tensor, poisoned: Tensor, true_labels: Tensor) -> None:
    """Write ``truth.parquet`` (id, poisoned, true_label) into a folder."""
    columns = {
        "id": ids.numpy(),
        "poisoned": poisoned.numpy(),
        "true_label": true_labels.numpy(),
    }
    io.write_table(Path(folder) / TRUTH_FILE, columns)


def read_truth(path: str | Path) -> Truth:
    """Read the truth of a poisoned set.

    Args:
        path: the folder written by `fctfast poison`, or the truth file itself.

    Returns:
        The truth.

    Raises:
        FileNotFoundError: there is no truth file.
        ValueError: the file is not a table of id, poisoned, true_label.
    """
    path = Path(path)
    file = path / TRUTH_FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"truth: expected {file}, which does not exist; give the folder written by "
            f"`fctfast poison` or its {TRUTH_FILE}"
        )
    table = io.read_table(file)
    missing = {"id", "poisoned", "true_label"} - set(table)
    if missing:
        raise ValueError(f"truth: {file} lacks the columns {', '.join(sorted(missing))}")
    return Truth(
        ids=torch.from_numpy(np.array(table["id"], dtype=np.int64)),
        poisoned=torch.from_numpy(np.array(table["poisoned"], dtype=np.bool_)),
        true_labels=torch.from_numpy(np.array(table["true_label"], dtype=np.int64)),
    )
