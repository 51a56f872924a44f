"""Reading photographs: formats, channels, errors; writing pictures whole or not at all."""

import sys

import numpy as np
import pytest
from PIL import Image

from moesaic.errors import UserError
from moesaic.host.image_files import read_image, write_picture
from moesaic.host.png import decode_png

RGB = np.random.default_rng(0).integers(0, 256, (12, 17, 3)).astype(np.uint8)


def with_alpha(alpha: int) -> np.ndarray:
    return np.dstack([RGB, np.full(RGB.shape[:2], alpha, np.uint8)])


@pytest.mark.parametrize("ending", ["png", "ppm", "bmp", "tiff"])
def test_lossless_formats(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(RGB).save(path)
    assert np.array_equal(read_image(path), RGB)


def test_jpeg_is_what_pillow_reads(tmp_path):
    path = tmp_path / "image.jpg"
    Image.fromarray(RGB).save(path)
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_opaque_alpha_is_dropped(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(with_alpha(255)).save(path)
    assert np.array_equal(read_image(path), RGB)


def test_ppm_with_comments(tmp_path):
    path = tmp_path / "image.ppm"
    path.write_bytes(b"P6 # made by hand\n17\n# rows\n12 255\n" + RGB.tobytes())
    assert np.array_equal(read_image(path), RGB)


REFUSED = {
    "grey.png": (RGB[..., 0], "1 channels \\(grey\\)"),
    "transparent.png": (with_alpha(254), "4 channels \\(RGB with transparency\\)"),
    "grey.bmp": (RGB[..., 0], "1 channels \\(grey\\)"),
    "deep.png": (RGB[..., 0].astype(np.uint16), "bit depth 16"),
    "real.tiff": (RGB[..., 0].astype(np.float32), "its colours are F"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_channels_are_refused(tmp_path, name):
    array, message = REFUSED[name]
    Image.fromarray(array).save(tmp_path / name)
    with pytest.raises(UserError, match=message) as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


BROKEN = {
    "empty.png": (b"", "cannot"),
    "text.jpg": (b"not a picture", "cannot"),
    "short.ppm": (b"P6 17 12 255\n" + RGB.tobytes()[:-1], "611 bytes where 17x12 pixels need 612"),
    "deep.ppm": (b"P6 2 1 65535\n" + bytes(12), "65535"),
    "none.ppm": (b"P6 0 1 255\n", "0x1"),
    "odd.ppm": (b"P6 two 1 255\n", "header is malformed"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(tmp_path, name):
    content, message = BROKEN[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_image(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "PPM" in str(caught.value)


def test_directory_is_no_image(tmp_path):
    with pytest.raises(UserError, match="directory"):
        read_image(tmp_path)


def test_other_formats_without_pillow(tmp_path, monkeypatch):
    path = tmp_path / "image.bmp"
    Image.fromarray(RGB).save(path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match="Pillow, which reads other formats, is missing"):
        read_image(path)


def test_written_picture(tmp_path):
    path = tmp_path / "new" / "directory" / "picture.png"
    write_picture(path, RGB)
    write_picture(path, RGB[::-1])
    assert np.array_equal(decode_png(path.read_bytes()), RGB[::-1])
    assert list(path.parent.iterdir()) == [path]


def test_failed_write_leaves_nothing(tmp_path):
    target = tmp_path / "picture.png"
    target.mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_picture(target, RGB)
    assert list(tmp_path.iterdir()) == [target]
