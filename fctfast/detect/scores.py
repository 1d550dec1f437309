"""FCT scores of a set: one row a sample, bad files included, kept by id."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from fctfast.data import ImageSet, Quarantined
from fctfast.detect.split import ALPHA_C, ALPHA_P, Split, split_scores
from fctfast.io import read_table, write_table

PathLike: TypeAlias = str | os.PathLike[str]

SCORED, BAD = "ok", "error"
COLUMNS = ("id", "path", "label", "fct", "suspected", "split", "status", "error")


@dataclass(frozen=True)
class Scores:
    """FCT of each readable sample, and the rows that could not be read.

    Args:
        ids: int64 [N], distinct.
        labels: int64 [N], as given with the data.
        fct: float64 [N], one score of the K draws of tau (Eq. 1): their mean or, in robust
            audits, geometric mean; see :class:`FctSettings`, over_draws. Higher is more suspicious.
        suspected: bool [N], True in the upper group of a class whose scores form two; these samples
            are more suspicious than all others, whatever their scores. None: no sample is.
        paths: N file names, or None for data that has none.
        quarantined: rows that could not be read: never scored, never split, always listed.
        settings: how the scores were made (draws, seed, model), ready for JSON.

    Raises:
        ValueError: lengths differ or ids repeat.
    """

    ids: Tensor
    labels: Tensor
    fct: Tensor
    suspected: Tensor | None = None
    paths: tuple[str, ...] | None = None
    quarantined: tuple[Quarantined, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {self.ids.numel(), self.labels.numel(), self.fct.numel()}
        if self.paths is not None:
            lengths.add(len(self.paths))
        if self.suspected is not None:
            lengths.add(self.suspected.numel())
        if len(lengths) != 1:
            raise ValueError(
                f"Scores: ids, labels, fct, suspected and paths differ in length: {lengths}"
            )
        if torch.unique(self.ids).numel() != self.ids.numel():
            raise ValueError("Scores: ids must be distinct")

    def __len__(self) -> int:
        return self.ids.numel()

    @property
    def suspicion(self) -> Tensor:
        """float64 [N]: the place of each sample in the order of suspicion; equal ones share it."""
        place: Tensor = torch.unique(self.fct, return_inverse=True)[1].double()
        return place if self.suspected is None else place + self.suspected.double() * len(self)

    @classmethod
    def of(
        cls, data: ImageSet, fct: Tensor, /, *, suspected: Tensor | None = None, **settings: Any
    ) -> Scores:
        """Attach scores to the set they were made from.

        Args:
            data: the set, in the order of fct.
            fct: floating [N].
            suspected: bool [N]; see the class. Default: no sample is.
            settings: how they were made, under any names.
        """
        return cls(
            ids=data.ids.clone(),
            labels=data.labels.clone(),
            fct=fct.double().cpu(),
            suspected=None if suspected is None else suspected.cpu(),
            paths=data.paths,
            quarantined=data.quarantined,
            settings=settings,
        )

    def split(self, alpha_c: float = ALPHA_C, alpha_p: float = ALPHA_P) -> Split:
        """Split into D_c, D_u and D_p by exact counts; see :func:`split_scores`.

        Args:
            alpha_c: share taken as clean, default .2.
            alpha_p: share taken as poisoned, default .05.

        Returns:
            The parts by id and the thresholds gamma_c and gamma_p.

        Raises:
            ValueError: as :func:`split_scores`.

        Source: paper, Algorithm 1.
        """
        return split_scores(
            self.ids, self.fct, suspected=self.suspected, alpha_c=alpha_c, alpha_p=alpha_p
        )

    def save(self, path: PathLike, split: Split | None = None) -> Path:
        """Write the table `id, path, label, fct, suspected, split, status, error`, sorted by id.

        Args:
            path: Parquet file to write.
            split: fills the column of that name; default: left empty.

        Returns:
            The path.
        """
        part = dict(
            zip(
                self.ids.tolist(),
                split.part_of(self.ids) if split is not None else [""] * len(self),
                strict=True,
            )
        )
        names = self.paths if self.paths is not None else (None,) * len(self)
        rows: list[tuple[Any, ...]] = [
            (i, name, label, value, apart, part[i], SCORED, None)
            for i, name, label, value, apart in zip(
                self.ids.tolist(),
                names,
                self.labels.tolist(),
                self.fct.tolist(),
                [False] * len(self) if self.suspected is None else self.suspected.tolist(),
                strict=True,
            )
        ]
        rows += [
            (q.id, q.path, q.label, float("nan"), False, "", BAD, q.error) for q in self.quarantined
        ]
        rows.sort(key=lambda row: row[0])
        columns = dict(zip(COLUMNS, zip(*rows, strict=True), strict=True)) if rows else {}
        write_table(
            path,
            {
                "id": np.asarray(columns.get("id", ()), dtype=np.int64),
                "path": list(columns.get("path", ())),
                "label": np.asarray(columns.get("label", ()), dtype=np.int64),
                "fct": np.asarray(columns.get("fct", ()), dtype=np.float64),
                "suspected": np.asarray(columns.get("suspected", ()), dtype=np.bool_),
                "split": list(columns.get("split", ())),
                "status": list(columns.get("status", ())),
                "error": list(columns.get("error", ())),
            },
        )
        return Path(path)

    @classmethod
    def load(cls, path: PathLike, settings: dict[str, Any] | None = None) -> Scores:
        """Read a table written by :meth:`save`; rows come back sorted by id.

        Args:
            path: Parquet file.
            settings: attached as they are; they live in the run's JSON, not in the table.

        Raises:
            FileNotFoundError: no such file.
            ValueError: damaged, or not a table of scores.
        """
        table = read_table(path)
        missing = [name for name in COLUMNS if name not in table]
        if missing:
            raise ValueError(f"{path} is not a table of FCT scores: no column {missing}")
        good = [i for i, status in enumerate(table["status"]) if status == SCORED]
        bad = [i for i, status in enumerate(table["status"]) if status != SCORED]
        names = table["path"]
        return cls(
            ids=torch.from_numpy(np.asarray(table["id"], dtype=np.int64)[good]),
            labels=torch.from_numpy(np.asarray(table["label"], dtype=np.int64)[good]),
            fct=torch.from_numpy(np.asarray(table["fct"], dtype=np.float64)[good]),
            suspected=torch.from_numpy(np.asarray(table["suspected"], dtype=np.bool_)[good]),
            paths=None if any(names[i] is None for i in good) else tuple(names[i] for i in good),
            quarantined=tuple(
                Quarantined(
                    id=int(table["id"][i]),
                    path=names[i],
                    label=int(table["label"][i]),
                    error=table["error"][i],
                )
                for i in bad
            ),
            settings=settings or {},
        )
