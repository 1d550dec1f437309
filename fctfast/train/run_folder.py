"""The folder of a run: what was asked, how far it is, and a lock."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fctfast import io
from fctfast.train.differences import differing_keys
from fctfast.train.versions import versions

try:
    import fcntl
except ModuleNotFoundError:  # Windows: no lock, everything else works
    fcntl = None  # type: ignore[assignment]

RUN_FILE, LOCK_FILE, HISTORY_FILE = "run.json", ".lock", "history.parquet"
FORMAT = "fctfast-run-1"
SHOWN_DIFFERENCES = 8
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{12}\.tmp")  # names of fctfast.io


class RunFolder:
    """One run's folder, locked while it is open. Use as a context manager.

    ``run.json`` holds the command, settings, seed, data fingerprint, versions, status and finished
    stages. A folder whose run was cut short is reopened by the same call; with other settings it is
    refused. Leaving the ``with`` block writes the status: done, failed, or interrupted.

    Args:
        path: the folder; made if it is missing.
        command: name of what is run, for example ``"detect"``.
        settings: everything that decides the result; a mapping or a dataclass, nested as needed.
        seed: the run's seed.
        data: fingerprint of the data set, or a mapping with one entry a set.

    Raises:
        ValueError: the folder holds a run with other settings (the message names the keys), is in
            use by another process, or holds something else.

    Example:
        >>> with RunFolder("runs/a", command="detect", settings=cfg, seed=0, data=fp) as run:
        ...     if not run.is_done("probe"):
        ...         fitted = fit(model, stage, settings=cfg.fit, checkpoint=run / "probe.state")
        ...         run.write_history("probe", fitted.history)
        ...         run.finish_stage("probe")
    """

    def __init__(
        self,
        path: str | Path,
        *,
        command: str,
        settings: Any,
        seed: int,
        data: str | Mapping[str, str],
    ) -> None:
        self.path = Path(path)
        self._identity = json.loads(
            json.dumps(
                {"command": command, "settings": _plain(settings), "seed": seed, "data": data},
                allow_nan=False,
            )
        )
        self._lock: IO[str] | None = None
        self._record: dict[str, Any] = {}

    def __enter__(self) -> RunFolder:
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"{self.path} is a file; name a new or empty folder for the run")
        stranger = self.path.is_dir() and not (self.path / RUN_FILE).exists()
        if stranger and any(not _ours(p.name) for p in self.path.iterdir()):
            raise ValueError(
                f"{self.path} holds files but no {RUN_FILE}, so it is not a run folder; name a new "
                "or empty folder"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        try:
            self._sweep()
            self._open_record()
        except BaseException:
            self._release_lock()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._update(status="done", error=None)
            elif isinstance(error, (KeyboardInterrupt, SystemExit)):
                self._update(status="interrupted", error=None)
            else:
                self._update(status="failed", error=f"{type(error).__name__}: {error}")
        finally:
            self._release_lock()

    def __truediv__(self, name: str) -> Path:
        """Name a file of the run: ``run / "scores.parquet"``."""
        return self.path / name

    @property
    def record(self) -> dict[str, Any]:
        """The content of run.json."""
        return dict(self._record)

    @property
    def resumed(self) -> bool:
        """Whether the folder held this run before it was opened."""
        return bool(self._record.get("opened", 1) > 1)

    def is_done(self, stage: str) -> bool:
        """Tell whether a stage was finished, now or before."""
        return stage in self._record["stages"]

    def finish_stage(self, stage: str, **facts: Any) -> None:
        """Write down that a stage is finished, with facts that JSON can hold."""
        stages = {**self._record["stages"], stage: {"finished": _now(), **facts}}
        self._update(stages=stages)

    def facts(self, stage: str) -> dict[str, Any]:
        """Return what :meth:`finish_stage` was given.

        Raises:
            ValueError: the stage is not finished.
        """
        if not self.is_done(stage):
            raise ValueError(f"{self.path}: stage {stage!r} is not finished")
        return {k: v for k, v in self._record["stages"][stage].items() if k != "finished"}

    def write_history(self, fit: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Put the records of one fit into ``history.parquet``, in place of its earlier ones.

        Args:
            fit: which training they belong to; becomes the column ``fit``.
            records: one mapping a pass; missing entries become null.
        """
        rows = [row for row in self.history() if row["fit"] != fit]
        rows += [{"fit": fit, **record} for record in records]
        names = dict.fromkeys(name for row in rows for name in row)
        io.write_table(
            self.path / HISTORY_FILE, {name: [row.get(name) for row in rows] for name in names}
        )

    def history(self) -> list[dict[str, Any]]:
        """Read ``history.parquet`` as one mapping a pass; empty if there is none."""
        path = self.path / HISTORY_FILE
        if not path.exists():
            return []
        # Plain numbers, not NumPy's: the rows are compared, printed and put into JSON.
        columns = {
            name: column.tolist() if hasattr(column, "tolist") else column
            for name, column in io.read_table(path).items()
        }
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _sweep(self) -> None:
        # What a kill in the middle of a write left behind; nobody else writes here, we hold the
        # lock.
        for path in self.path.rglob(".*.tmp"):
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _open_record(self) -> None:
        path = self.path / RUN_FILE
        if not path.exists():
            self._record = {
                "format": FORMAT,
                **self._identity,
                "created": _now(),
                "opened": 0,
                "stages": {},
            }
        else:
            self._record = io.read_json(path)
            if not isinstance(self._record, dict) or self._record.get("format") != FORMAT:
                raise ValueError(f"{path} was not written by fctfast; name another folder")
            there = {key: self._record.get(key) for key in self._identity}
            differing = differing_keys(there, self._identity)
            if differing:
                command = there.get("command")
                if command != self._identity.get("command"):
                    differing = [f"it is one of fctfast {command}"]
                # What was asked comes before what follows from it: --mode changes many settings.
                differing.sort(key=lambda text: text.split(" ", maxsplit=1)[0].count("."))
                more = len(differing) - SHOWN_DIFFERENCES
                if more > 0:
                    differing = [*differing[:SHOWN_DIFFERENCES], f"and {more} more"]
                raise ValueError(
                    f"{self.path} holds a run with other settings: {'; '.join(differing)}. Use "
                    "the same settings to resume it, or another folder for a new run"
                )
        self._update(
            status="running",
            error=None,
            opened=self._record["opened"] + 1,
            process=os.getpid(),
            versions=versions(),
        )

    def _update(self, **changes: Any) -> None:
        self._record = {**self._record, **changes, "updated": _now()}
        io.write_json(self.path / RUN_FILE, self._record)

    def _take_lock(self) -> None:
        # Not through fctfast.io: the lock is the open file itself, it has no content. The kernel
        # drops it with the process, so a kill -9 leaves nothing to clean up.
        self._lock = (self.path / LOCK_FILE).open("a", encoding="utf-8")
        if fcntl is None:
            return
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._release_lock()
            raise ValueError(
                f"{self.path} is in use by another process; wait for it, or name another folder"
            ) from error
        except OSError:
            # Some network file systems have no locks; a run there is better than none.
            return

    def _release_lock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _plain(settings: Any) -> Any:
    if is_dataclass(settings) and not isinstance(settings, type):
        return _plain(asdict(settings))
    if isinstance(settings, Mapping):
        return {str(key): _plain(value) for key, value in settings.items()}
    if isinstance(settings, (list, tuple)):
        return [_plain(value) for value in settings]
    if isinstance(settings, Path):
        return str(settings)
    return settings


def _ours(name: str) -> bool:
    return name == LOCK_FILE or _TEMPORARY.fullmatch(name) is not None


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
