"""What the tests of the executor itself share: sample kernels run by name, their lines by text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

Extent = int | tuple[int, int, int]
ORDERS = (("forward", 0), ("reverse", 0), ("random", 1), ("random", 2))


class Source:
    """The text of `samples/*`, in which tests look up the line that a message must name."""

    def __init__(self, folder: Path) -> None:
        """Read them."""
        self.texts = {path.name: path.read_text() for path in sorted(folder.glob("*.*"))}

    @property
    def text(self) -> str:
        """Everything."""
        return "".join(self.texts.values())

    def line(self, function: str, text: str) -> str:
        """`FILE.cpp:N` of the first `text` inside `function`."""
        head = f"void {function}("
        (name,) = [name for name, source in self.texts.items() if head in source]
        source = self.texts[name]
        start = source.index(head)
        found = source.index(text, start)
        assert found < source.index("\n}", start), f"{text} is not in {function}"
        return f"{name}:{source.count(chr(10), 0, found) + 1}"


class Executor:
    """The executor in its plain mode."""

    def __init__(self, simt: ModuleType, path: Path) -> None:
        """Take the harness and the built module's place."""
        self.path, self.simt, self.module = path, simt, simt.load(path)

    def configure(self, **settings: Any) -> None:
        """Set what is given and reset everything else."""
        self.module.configure(**settings)

    def run(
        self, name: str, values: np.ndarray, grid: Extent = 1, block: Extent = 32, shared: int = 0,
        count: int | None = None,
    ) -> np.ndarray:  # fmt: skip
        """What the sample wrote: `count` numbers of the input's type, by default one a thread."""
        threads = int(np.prod(grid)) * int(np.prod(block))
        size = (threads if count is None else count) * values.itemsize
        made = self.module.sample(name, values, size, grid, block, shared)
        return np.asarray(made).view(values.dtype)

    def error(self, name: str, values: np.ndarray, **launch: Any) -> str:
        """The message with which the sample fails, its places turned into lines."""
        with pytest.raises(self.module.Error) as caught:
            self.run(name, values, **launch)
        return str(self.simt.with_source_line(str(caught.value), self.path))

    def in_every_order(self, name: str, values: np.ndarray, **launch: Any) -> np.ndarray:
        """What `run` gives, which must be the same bits in every order of threads and blocks."""
        made = []
        for order, seed in ORDERS:
            self.configure(order=order, seed=seed)
            made.append(self.run(name, values, **launch))
        assert len({m.tobytes() for m in made}) == 1, f"{name} depends on the order"
        return made[0]


@pytest.fixture(scope="session")
def loaded(simt: ModuleType, simt_build: Callable[[str], Path]) -> Executor:
    return Executor(simt, simt_build("plain"))


@pytest.fixture
def executor(loaded: Executor) -> Iterator[Executor]:
    """The plain mode, with its settings as they were found."""
    loaded.configure()
    yield loaded
    loaded.configure()


@pytest.fixture(scope="session")
def samples(simt: ModuleType) -> Source:
    """`samples.line(function, text)` is the place of a text in `csrc/simt/samples`."""
    return Source(simt.SOURCE / "samples")
