"""Decoding: the right pixels for good files, one reason for every kind of bad one."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fctfast.data.decode import DecodeError, decode_image, fit
from fctfast.data.resize import resize_images


def saved(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 10_000)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
def test_lossless_formats_give_their_pixels(encode: Callable[..., bytes], kind: str) -> None:
    expected = np.random.default_rng(5).integers(0, 256, (6, 8, 3), np.uint8)
    np.testing.assert_array_equal(np.array(decode_image(encode(5, kind=kind))), expected)


def test_jpeg_gives_pillows_pixels(encode: Callable[..., bytes]) -> None:
    data = encode(5, kind="JPEG")
    expected = np.array(Image.open(io.BytesIO(data)))
    np.testing.assert_array_equal(np.array(decode_image(data)), expected)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA"])
def test_every_mode_becomes_rgb(encode: Callable[..., bytes], mode: str) -> None:
    image = Image.open(io.BytesIO(encode(3))).convert(mode)
    decoded = decode_image(saved(image))
    assert decoded.mode == "RGB"
    expected = image.convert("L" if mode == "LA" else "RGB").convert("RGB")
    np.testing.assert_array_equal(np.array(decoded), np.array(expected))


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    decoded = np.array(decode_image(saved(Image.fromarray(values))))
    assert np.abs(decoded[0, :, 0].astype(int) - [0, 1, 128, 255]).max() <= 1


def flipped(data: bytes) -> bytes:
    broken = bytearray(data)
    broken[len(data) // 2] ^= 0xFF
    return bytes(broken)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"not an image at all", "not a JPEG, PNG, WebP or BMP image"),
        (saved(Image.new("RGB", (9, 9)), "GIF"), "not a JPEG, PNG, WebP or BMP image"),
        (saved(Image.new("RGB", (9, 9)), "TIFF"), "not a JPEG, PNG, WebP or BMP image"),
        (png_claiming(60_000, 60_000), "more pixels than the 100,000,000 allowed"),
        (png_claiming(11_000, 11_000), "more pixels than the 100,000,000 allowed"),
        (png_claiming(600, 600), "damaged"),
    ],
)
def test_bad_files_are_refused_with_a_reason(data: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode_image(data)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_truncated_files_are_refused(encode: Callable[..., bytes], kind: str) -> None:
    data = encode(1, size=(64, 64), kind=kind)
    for length in (5, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(DecodeError):
            decode_image(data[:length])


def test_a_png_with_one_changed_byte_is_refused(encode: Callable[..., bytes]) -> None:
    with pytest.raises(DecodeError, match="damaged"):
        decode_image(flipped(encode(1, size=(32, 32))))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]), st.data())
def test_no_damage_gives_any_other_exception(kind: str, data: st.DataObject) -> None:
    out = io.BytesIO()
    Image.fromarray(np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)).save(
        out, kind
    )
    content = bytearray(out.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    reason = ""
    try:
        assert decode_image(bytes(content), (8, 8)).size == (8, 8)
    except DecodeError as error:
        reason = str(error)
    assert " at 0x" not in reason  # no memory address: reasons repeat from run to run


def test_fit_is_the_centre_of_the_scaled_image() -> None:
    image = Image.new("RGB", (300, 100), (255, 0, 0))
    image.paste((0, 255, 0), (100, 0, 200, 100))
    fitted = np.array(fit(image, (50, 50)))
    assert fitted.shape == (50, 50, 3)
    assert (fitted[:, 1:-1, 1] == 255).all()


@pytest.mark.parametrize("shape", [(500, 375), (375, 500), (224, 224), (100, 30), (640, 481)])
def test_fit_agrees_with_torchvision(shape: tuple[int, int]) -> None:
    from torchvision.transforms import v2

    rows, columns = np.mgrid[: shape[1], : shape[0]] / min(shape)
    image = Image.fromarray((128 + 100 * np.sin(3 * rows + 5 * columns)).astype(np.uint8))
    theirs = v2.CenterCrop(64)(v2.Resize(64)(image))
    difference = np.abs(np.array(fit(image, (64, 64))).astype(int) - np.array(theirs))
    # They round the longer side and the crop to whole pixels of 1/64: the image moves by at most
    # one of them, and its steepest slope is 100 * 5 / 64 = 8 a pixel.
    assert difference.max() <= 9


@given(st.integers(1, 400), st.integers(1, 400), st.integers(1, 60), st.integers(1, 60))
@settings(max_examples=100, deadline=None)
def test_fit_takes_every_shape(width: int, height: int, to_height: int, to_width: int) -> None:
    fitted = fit(Image.new("L", (width, height), 77), (to_height, to_width))
    assert fitted.size == (to_width, to_height)
    assert fitted.getextrema() == (77, 77)


def test_an_extremely_long_image_needs_no_memory() -> None:
    assert fit(Image.new("L", (1_000_000, 1)), (224, 224)).size == (224, 224)


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_are_resized_as_files_are(channels: int) -> None:
    images = torch.randint(0, 256, (3, 20, 30, channels), dtype=torch.uint8)
    resized = resize_images(images, (16, 10))
    assert resized.shape == (3, 16, 10, channels)
    plain = images[1].numpy() if channels == 3 else images[1, ..., 0].numpy()
    expected = np.array(fit(Image.fromarray(plain), (16, 10))).reshape(16, 10, channels)
    np.testing.assert_array_equal(resized[1].numpy(), expected)
