"""Decode one untrusted image with Pillow; run as a program, serve a :mod:`decode_pool`.

The pool starts this file by its path, so that a worker imports Pillow and nothing else: it is
ready in 50 ms and a crash in a decoder costs one small process. A one-byte change to
a PNG has ended a process inside another decoder.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":  # before any other import: this folder must not shadow a library
    sys.path[:] = sys.argv[2:]

import io
import json
import signal
import struct
import time
import warnings
from contextlib import suppress

from PIL import Image, UnidentifiedImageError

try:
    import resource
except ImportError:  # not a POSIX system: workers run without limits of their own
    resource = None  # type: ignore[assignment]

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MAX_PIXELS = 100_000_000
REQUEST = struct.Struct("<Q?")  # length of the file that follows; is the answer wanted at once
ANSWER = struct.Struct("<BII")  # 0, height, width, then RGB rows; or 1, length, 0, then a reason
HELLO = b"fctfast-decoder\n"
_BOMB = "more pixels than the {:,} allowed (a decompression bomb?)"
_MAX_REASON = 300
_WORKER_MEMORY = 4 << 30
_ANSWERS = 1 << 15  # bytes of answers worth a write
_PATIENCE = 0.1  # seconds after which even few answers are written


class DecodeError(ValueError):
    """An image that cannot be decoded; the text says why."""


def decode_image(
    data: bytes, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Decode a JPEG, PNG, WebP or BMP file into RGB.

    Grey, palette and 16-bit images become 8-bit RGB, transparency is dropped, the first frame of
    an animation is taken, and orientation tags are not applied: what a training loader sees.

    Args:
        data: the file's bytes.
        size: (height, width) to scale and crop to, or None to keep the image's own size.
        max_pixels: refuse an image with more; default 100 million.

    Returns:
        A Pillow image in mode RGB.

    Raises:
        DecodeError: it is no such image, is damaged or truncated, or is too large.
    """
    if not data:
        raise DecodeError("the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limits below are ours, and errors
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            if image.width * image.height > max_pixels:
                raise DecodeError(_BOMB.format(max_pixels))
            rgb = _to_rgb(image)
    except DecodeError:
        raise
    except Image.DecompressionBombError:  # Pillow's own limit, met before ours is asked
        raise DecodeError(_BOMB.format(max_pixels)) from None
    except UnidentifiedImageError:
        # Pillow's own text holds a memory address, which would differ from run to run.
        raise DecodeError("not a JPEG, PNG, WebP or BMP image") from None
    except MemoryError:
        raise DecodeError("decoding needs more memory than a decoder may take") from None
    except Exception as error:  # damaged files surface as almost any exception in Pillow
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise DecodeError(f"damaged: {reason[:_MAX_REASON]}") from error
    return rgb if size is None else fit(rgb, size)


def fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Scale an image until it covers ``size``, antialiased, and keep the centre.

    Args:
        image: any Pillow image.
        size: (height, width) in pixels.

    Returns:
        An image of exactly that size; the same image if it has that size already.
    """
    height, width = size
    if (image.height, image.width) == size:
        return image
    scale = min(image.height / height, image.width / width)
    # Rounding may exceed the image by a hair, which Pillow refuses.
    box_width, box_height = min(width * scale, image.width), min(height * scale, image.height)
    left, top = (image.width - box_width) / 2, (image.height - box_height) / 2
    box = (left, top, min(left + box_width, image.width), min(top + box_height, image.height))
    # One resampling of the crop alone: scaling a 1 x 1,000,000 image whole would be a bomb.
    return image.resize((width, height), Image.Resampling.BILINEAR, box=box)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey; Pillow would clip it to white
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _limit_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to stop
    if resource is None:
        return
    for kind, value in (
        (resource.RLIMIT_AS, _WORKER_MEMORY),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        with suppress(ValueError, OSError):  # the system allows less already
            resource.setrlimit(kind, (value, value))


def _write_all(descriptor: int, data: bytes | bytearray) -> None:
    sent = 0
    while sent < len(data):
        with memoryview(data) as view:  # released before the caller clears its buffer
            sent += os.write(descriptor, view[sent:])


def serve(size: tuple[int, int] | None, max_pixels: int) -> None:
    """Answer decode requests on standard input until it closes.

    Answers to small images are collected before they are written: a write for each would wake the
    parent 50,000 times for CIFAR-10, which costs as much as the decoding.

    Args:
        size: as :func:`decode_image`.
        max_pixels: as :func:`decode_image`.
    """
    _limit_process()
    # A library that prints must not write into the answers.
    out = os.dup(1)
    os.dup2(2, 1)
    _write_all(out, HELLO)
    asked, answers, written = bytearray(), bytearray(), time.monotonic()
    while True:
        while (request := _take_request(asked)) is None:
            _write_all(out, answers)
            answers.clear()
            more = os.read(0, 1 << 16)
            if not more:
                return
            asked += more
        data, at_once = request
        try:
            image = decode_image(data, size, max_pixels)
            answers += ANSWER.pack(0, image.height, image.width) + image.tobytes()
        except DecodeError as error:
            reason = str(error).encode("utf-8", "replace")
            answers += ANSWER.pack(1, len(reason), 0) + reason
        if at_once or len(answers) >= _ANSWERS or time.monotonic() - written > _PATIENCE:
            _write_all(out, answers)
            answers.clear()
            written = time.monotonic()


def _take_request(asked: bytearray) -> tuple[bytes, bool] | None:
    if len(asked) < REQUEST.size:
        return None
    length, at_once = REQUEST.unpack_from(asked)
    end = REQUEST.size + length
    if len(asked) < end:
        return None
    data = bytes(asked[REQUEST.size : end])
    del asked[:end]
    return data, at_once


if __name__ == "__main__":
    _options = json.loads(sys.argv[1])
    serve(tuple(_options["size"]) if _options["size"] else None, _options["max_pixels"])
