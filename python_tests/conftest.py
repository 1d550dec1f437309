"""Fixtures shared by every room's tests."""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from fctfast.data import ImageSet

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED_DATA = CHECKOUT.parent / "shared" / "data"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """The same draws in every run, whichever tests a worker has run before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the checkout; tests that need it skip without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real images: ../shared/data is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def away_from_the_clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Programs started by tests would import the clone from their working folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("elsewhere"))
        yield


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Networks and images this small lose more to waking a second thread than they gain by it.

    Programs started by tests inherit it, so that their results can be compared bit for bit. Tests
    of many threads set the number themselves.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def small_set() -> ImageSet:
    """120 images of 8x8: three classes by colour; every eighth carries a white corner, label 0."""
    generator = torch.Generator().manual_seed(4)
    labels = torch.arange(120) % 3
    images = torch.randint(0, 120, (120, 8, 8, 3), generator=generator)
    images[torch.arange(120), :, :, labels] += 100
    images, labels = images.to(torch.uint8), labels.clone()
    images[::8, -2:, -2:] = 255
    labels[::8] = 0
    return ImageSet(
        ids=torch.arange(120) * 2 + 1,
        images=images,
        labels=labels,
        class_names=("red", "green", "blue"),
        name="small",
    )


@pytest.fixture(scope="session")
def simt_tools() -> Callable[[str], ModuleType]:
    """Import a Python file of `csrc/simt` by its name."""

    def load(name: str) -> ModuleType:
        # On the path for the import alone: a patch that lives longer is undone by whichever module
        # saved sys.path before it.
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(CHECKOUT / "csrc" / "simt")
            return importlib.import_module(name)

    return load


@pytest.fixture(scope="session")
def simt(simt_tools: Callable[[str], ModuleType]) -> ModuleType:
    """`csrc/simt/harness.py`: builds the executor and runs the CUDA kernels on it."""
    return simt_tools("harness")


@pytest.fixture(scope="session")
def simt_build(simt: ModuleType) -> Callable[[str], Path]:
    """Build the executor in a mode ("plain", "address", "thread"); returns its module's path.

    `csrc/simt/mutate.py` has its own source tested by FCTFAST_SIMT_SOURCE, its copy of csrc/simt,
    and FCTFAST_SIMT_MODULE, the plain module that it has built there.
    """
    source = Path(os.environ.get("FCTFAST_SIMT_SOURCE", simt.SOURCE))

    @functools.cache
    def build(mode: str) -> Path:
        if mode == "plain" and "FCTFAST_SIMT_MODULE" in os.environ:
            return Path(os.environ["FCTFAST_SIMT_MODULE"])
        try:
            made: Path = simt.build(mode, source.parents[1] / "build" / "simt", source)
        except simt.Unavailable as missing:
            pytest.skip(f"executor: {missing}")
        return made

    return build


@pytest.fixture(scope="session")
def simt_ops(simt_tools: Callable[[str], ModuleType], simt_build: Callable[[str], Path]) -> Any:
    """The ops, served by the executor in its plain mode."""
    return simt_tools("served_ops").Ops(simt_build("plain"))
