"""Decoder processes that may crash, hang or run out of memory: only the image at fault is lost.

Not multiprocessing: that pickles, imports the user's main module again in every worker, and its
pool breaks as a whole when one worker dies. Here each worker is a small program on two pipes.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from fctfast.data import decode

Pixels: TypeAlias = npt.NDArray[np.uint8]

TIME_LIMIT = 60.0  # seconds for one image
_WINDOW = 128  # images on their way to a worker: enough to keep it busy between two answers
_WINDOW_BYTES = 1 << 20
_READ = 1 << 16  # what a pipe holds


@dataclass(frozen=True)
class BadFile:
    """A file that gives no image.

    Args:
        reason: why, in words.
    """

    reason: str


Job: TypeAlias = tuple[int, bytes | BadFile]
Result: TypeAlias = tuple[int, Pixels | BadFile]


def default_workers(jobs: int) -> int:
    """Choose how many decoder processes to start.

    Args:
        jobs: how many images there are.

    Returns:
        One for each core this process may use, at most 32, and no more than there is work for.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    return max(1, min(cores, 32, jobs // 32 + 1))


def decode_stream(
    jobs: Iterable[Job],
    *,
    size: tuple[int, int] | None = None,
    workers: int = 1,
    time_limit: float = TIME_LIMIT,
    max_pixels: int = decode.MAX_PIXELS,
) -> Generator[Result, None, None]:
    """Decode files in worker processes, each result as soon as it is there.

    A worker that dies or hangs takes nothing with it: all that it had not answered goes to others,
    now with each answer wanted at once. If one dies again, its first unanswered image is at fault
    and given up. So every image is tried twice, which also forgives a system that ends processes
    for reasons of its own.

    Args:
        jobs: (key, the file's bytes); a BadFile instead of bytes is handed through. Pulled lazily.
        size: (height, width) to bring images to; default their own.
        workers: how many processes; default 1.
        time_limit: seconds an image may take; default 60.
        max_pixels: refuse larger images; default 100 million.

    Yields:
        (key, uint8 [H, W, 3]) or (key, BadFile), in any order, every key exactly once.

    Raises:
        RuntimeError: a worker does not start at all.
    """
    pool = _Pool(size, max_pixels, time_limit, max(1, workers))
    try:
        yield from pool.run(iter(jobs))
    finally:
        pool.close()


@dataclass(eq=False)
class _Worker:
    """One process, what it was given, and what has come back so far."""

    process: subprocess.Popen[bytes]
    requests: int
    answers: int
    greeted: bool = False
    pending: deque[tuple[int, bytes]] = field(default_factory=deque)
    outbox: deque[memoryview] = field(default_factory=deque)
    outbox_bytes: int = 0
    inbox: bytearray = field(default_factory=bytearray)
    since: float = 0.0  # when the image it is working on became the first of its queue

    def has_room(self) -> bool:
        return len(self.pending) < _WINDOW and self.outbox_bytes < _WINDOW_BYTES

    def give(self, key: int, data: bytes, *, at_once: bool) -> None:
        if not self.pending:
            self.since = time.monotonic()
        self.pending.append((key, data))
        for part in (decode.REQUEST.pack(len(data), at_once), data):
            self.outbox.append(memoryview(part))
            self.outbox_bytes += len(part)

    def send(self) -> None:
        """Write what the pipe takes now."""
        try:
            while self.outbox:
                sent = os.write(self.requests, self.outbox[0])
                self.outbox_bytes -= sent
                self.outbox[0] = self.outbox[0][sent:]
                if not self.outbox[0]:
                    self.outbox.popleft()
        except BlockingIOError:
            pass
        except BrokenPipeError:  # it died: reading from it tells
            self.outbox.clear()

    def receive(self) -> bool:
        """Read what is there; False when the process has closed its end."""
        try:
            data = os.read(self.answers, _READ)
        except BlockingIOError:
            return True
        self.inbox += data
        return bool(data)

    def finished(self) -> Iterator[Result]:
        """Take the complete answers out of the inbox."""
        start = 0
        if not self.greeted and len(self.inbox) >= len(decode.HELLO):
            self.greeted, start = True, len(decode.HELLO)
        while len(self.inbox) - start >= decode.ANSWER.size and self.pending:
            status, first, second = decode.ANSWER.unpack_from(self.inbox, start)
            body = start + decode.ANSWER.size
            end = body + (first if status else first * second * 3)
            if len(self.inbox) < end:
                break
            content = bytes(self.inbox[body:end])
            start = end
            key, _ = self.pending.popleft()
            self.since = time.monotonic()
            if status:
                yield key, BadFile(content.decode("utf-8", "replace"))
            else:
                yield key, np.frombuffer(content, np.uint8).reshape(first, second, 3)
        del self.inbox[:start]

    def end(self, *, killed: bool) -> str:
        """Wait for the process, or end it, and say how it ended."""
        if not killed:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(1)  # it has closed its pipe: its own status says why
        self.process.kill()
        code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        if code >= 0:
            return f"exit status {code}"
        with suppress(ValueError):
            return signal.Signals(-code).name
        return f"signal {-code}"


class _Pool:
    def __init__(
        self, size: tuple[int, int] | None, max_pixels: int, time_limit: float, count: int
    ) -> None:
        self.options = json.dumps({"size": size, "max_pixels": max_pixels})
        self.time_limit = time_limit
        self.selector = selectors.DefaultSelector()
        self.workers: list[_Worker] = []
        self.backlog: deque[tuple[int, bytes]] = deque()
        self.suspects: set[int] = set()  # on the way to a worker that died; answered at once
        for _ in range(count):
            self.start()

    def start(self) -> None:
        program = [sys.executable, "-I", "-S", str(Path(decode.__file__)), self.options]
        process = subprocess.Popen(  # noqa: S603 (our own file, run by this interpreter)
            program + [folder for folder in sys.path if folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the image decoder has no pipes")
        worker = _Worker(process, process.stdin.fileno(), process.stdout.fileno())
        os.set_blocking(worker.requests, False)
        os.set_blocking(worker.answers, False)
        self.selector.register(worker.answers, selectors.EVENT_READ, worker)
        self.workers.append(worker)

    def run(self, jobs: Iterator[Job]) -> Iterator[Result]:
        while True:
            for worker in self.workers:
                while worker.has_room():
                    job = self.backlog.popleft() if self.backlog else next(jobs, None)
                    if job is None:
                        break
                    key, data = job
                    if isinstance(data, BadFile):
                        yield key, data
                    else:
                        worker.give(key, data, at_once=key in self.suspects)
            if not any(worker.pending for worker in self.workers):
                return
            yield from self.step()

    def step(self) -> Iterator[Result]:
        """Wait until a pipe is ready, move bytes, and hand on what is finished."""
        writing = [worker for worker in self.workers if worker.outbox]
        for worker in writing:
            self.selector.register(worker.requests, selectors.EVENT_WRITE, worker)
        ready = self.selector.select(timeout=min(1.0, self.time_limit))
        for worker in writing:
            self.selector.unregister(worker.requests)
        heard = set()
        for key, event in ready:
            worker = key.data
            if worker not in self.workers:
                continue  # buried in this very round; its descriptors may belong to its successor
            if event == selectors.EVENT_WRITE:
                worker.send()
                continue
            heard.add(worker.process.pid)
            alive = worker.receive()
            yield from worker.finished()
            if not alive:
                yield from self.bury(worker)
        now = time.monotonic()
        for worker in [w for w in self.workers if w.process.pid not in heard and w.pending]:
            if now - worker.since > self.time_limit:
                reason = f"decoding took longer than {self.time_limit:g} s"
                yield from self.bury(worker, reason)

    def bury(self, worker: _Worker, reason: str | None = None) -> Iterator[Result]:
        """Replace a worker; what it had not answered is tried again or, the second time, blamed."""
        self.workers.remove(worker)
        self.selector.unregister(worker.answers)
        ending = worker.end(killed=reason is not None)
        if not worker.greeted:
            raise RuntimeError(
                f"the image decoder does not start ({ending}): {sys.executable} must be a Python "
                "that can import PIL"
            )
        if worker.pending and worker.pending[0][0] in self.suspects:
            key, _ = worker.pending.popleft()
            yield key, BadFile(reason or f"the decoder crashed on it ({ending})")
        # The answers that it still held are lost: any of its images may be the one at fault.
        self.suspects.update(key for key, _ in worker.pending)
        self.backlog.extend(worker.pending)
        self.start()

    def close(self) -> None:
        for worker in self.workers:
            worker.end(killed=True)
        self.selector.close()
