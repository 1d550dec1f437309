"""Images made here, good and bad, for the tests of the data room."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _encode(seed: int = 0, size: tuple[int, int] = (8, 6), kind: str = "PNG") -> bytes:
    """An image file of (width, height) `size` with pixels drawn from `seed`."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    out = io.BytesIO()
    options = {"lossless": True} if kind == "WEBP" else {}
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """encode(seed, (width, height), kind) -> the bytes of an image file."""
    return _encode


@pytest.fixture
def class_folder(tmp_path: Path) -> Callable[..., Path]:
    """class_folder({"cat": 3, "dog": 2}) -> a folder of class folders with that many PNGs."""

    def make(counts: dict[str, int], under: str = "set") -> Path:
        root = tmp_path / under
        for label, (name, count) in enumerate(counts.items()):
            (root / name).mkdir(parents=True)
            for number in range(count):
                (root / name / f"{number:03d}.png").write_bytes(_encode(1000 * label + number))
        return root

    return make


@pytest.fixture(scope="session")
def zip_of() -> Callable[..., Path]:
    """zip_of(folder, target, under="a/") -> target, an archive of the folder's files below a/."""

    def make(root: Path, target: Path, *, under: str = "") -> Path:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(root.rglob("*"), reverse=True):
                if path.is_file() and not path.is_symlink():
                    archive.write(path, under + str(path.relative_to(root)))
        return target

    return make


_FAULTY_DECODER = """
import importlib.util, json, os, signal, sys, time
sys.path[:] = sys.argv[2:]
spec = importlib.util.spec_from_file_location("decode", {real!r})
decode = importlib.util.module_from_spec(spec)
spec.loader.exec_module(decode)
real = decode.decode_image

def decode_image(data, size, max_pixels):
    if data == b"EXIT":
        os._exit(3)
    if data == b"SEGV":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == b"HANG":
        time.sleep(1000)
    if data == b"NOISE":
        print("noise", flush=True)
        os.write(1, b"noise")
        raise decode.DecodeError("was noisy")
    if data == b"HUNGRY":
        return real(bytes(8 << 30), size, max_pixels)
    if data.startswith(b"ONCE") and not os.path.exists(data[4:]):
        open(data[4:], "w").close()
        os._exit(9)
    return real(data, size, max_pixels)

decode.decode_image = decode_image
options = json.loads(sys.argv[1])
decode.serve(options["size"] and tuple(options["size"]), options["max_pixels"])
"""


@pytest.fixture
def faulty_decoder(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decoder processes that die or hang on files with the content EXIT, SEGV, HANG, ..."""
    from fctfast.data import decode

    program = tmp_path_factory.mktemp("decoder") / "faulty.py"
    program.write_text(_FAULTY_DECODER.format(real=decode.__file__))
    monkeypatch.setattr(decode, "__file__", str(program))
