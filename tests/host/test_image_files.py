"""Reading photographs: formats, channels, errors; writing pictures whole or not at all."""

import io
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

import moesaic
from moesaic.errors import UserError
from moesaic.host.image_files import encode_png, read_image, write_picture
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


GREY = RGB[..., 0]


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "pgm", "gif"])
def test_grey_has_three_equal_channels(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    Image.fromarray(GREY).save(path)
    assert np.array_equal(read_image(path), np.dstack([GREY] * 3))


def test_deep_images_are_rounded_to_8_bits(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65536, (5, 6)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(read_image(tmp_path / "deep.png")[..., 0], np.floor(deep / 257 + 0.5))
    (tmp_path / "deep.pgm").write_bytes(b"P5 6 5 65535\n" + deep.astype(">u2").tobytes())
    assert np.array_equal(read_image(tmp_path / "deep.pgm")[..., 1], np.floor(deep / 257 + 0.5))
    (tmp_path / "shallow.ppm").write_bytes(b"P6 1 1 15\n\x00\x07\x0f")
    assert read_image(tmp_path / "shallow.ppm").tolist() == [[[0, 119, 255]]]


def test_bytes_of_a_file_are_an_image(tmp_path):
    for name in ("image.png", "image.bmp"):
        Image.fromarray(RGB).save(tmp_path / name)
        assert np.array_equal(read_image((tmp_path / name).read_bytes()), RGB)
    with pytest.raises(UserError, match="the image cannot be taken: it is no image in a format that Pillow reads"):
        read_image(b"hello")


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_cameras_orientation_is_applied(tmp_path, ending, orientation):
    path = tmp_path / f"image.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RGB).save(path, exif=exif)
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
        assert expected.shape[:2] == ((12, 17) if orientation < 5 else (17, 12))
    assert np.array_equal(read_image(path), expected)


def save_profiled(path, picture, profile: bytes) -> None:
    picture.save(path, icc_profile=profile, **({"quality": 95} if path.suffix == ".jpg" else {}))


def profile(space: bytes, **tags: bytes) -> bytes:
    """An ICC profile of version 4 with these tags."""
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, element in tags.items():
        content = element + bytes(-len(element) % 4)
        table += struct.pack(">4sII", name.encode(), start + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s12x4s", start + len(body), b"test", 0x04000000, b"mntr", space, b"XYZ ", b"acsp")
    white = struct.pack(">3i", 63190, 65536, 54061)
    return header + bytes(28) + white + bytes(48) + table + body


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * value) for value in (x, y, z)))


P3 = {"rXYZ": xyz(0.5151, 0.2412, -0.0011), "gXYZ": xyz(0.2919, 0.6922, 0.0419), "bXYZ": xyz(0.1572, 0.0666, 0.7841)}
SRGB_CURVE = b"para\0\0\0\0\0\3\0\0" + struct.pack(
    ">5i", *(round(65536 * v) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
GAMMA_22 = b"curv\0\0\0\0\0\0\0\1" + struct.pack(">H", round(2.2 * 256))
WHITE = {"wtpt": xyz(0.9642, 1.0, 0.8249)}


@pytest.mark.parametrize("curve", [SRGB_CURVE, GAMMA_22], ids=["srgb-curve", "gamma-2.2"])
@pytest.mark.parametrize("ending", ["png", "jpg", "tiff"])
def test_colours_of_a_wide_profile_become_srgb(tmp_path, curve, ending):
    """As lcms converts them."""
    wide = profile(b"RGB ", **WHITE, **P3, rTRC=curve, gTRC=curve, bTRC=curve)
    path = tmp_path / f"image.{ending}"
    save_profiled(path, Image.fromarray(RGB), wide)
    with Image.open(path) as picture:
        picture.load()
        plain = np.asarray(picture)
        expected = ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(io.BytesIO(wide)),
            ImageCms.createProfile("sRGB"),
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    found = read_image(path)
    assert np.abs(found.astype(int) - np.asarray(expected)).max() <= 2
    assert np.abs(found.astype(int) - plain).max() > 10


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_profile_of_srgb_changes_nothing(tmp_path, ending):
    path = tmp_path / f"image.{ending}"
    save_profiled(path, Image.fromarray(RGB), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert np.array_equal(read_image(path), np.asarray(Image.open(path)))


def test_a_grey_profile(tmp_path):
    save_profiled(tmp_path / "grey.png", Image.fromarray(GREY), profile(b"GRAY", **WHITE, kTRC=b"curv" + bytes(8)))
    light = GREY / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(read_image(tmp_path / "grey.png")[..., 1] - expected).max() < 0.51


def with_chunk(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG file with another chunk after its header."""
    return (
        data[:33]
        + struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        + data[33:]
    )


def test_the_gamma_of_a_png(tmp_path):
    plain = encode_png(RGB)
    usual, linear = (with_chunk(plain, b"gAMA", struct.pack(">I", value)) for value in (45455, 100000))
    assert np.array_equal(read_image(usual), RGB)
    light = RGB / 255
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 255
    assert np.abs(read_image(linear) - expected).max() < 0.51
    assert np.array_equal(read_image(with_chunk(linear, b"sRGB", b"\0")), RGB)
    with Image.open(io.BytesIO(linear)) as picture:
        assert np.array_equal(moesaic.Image(picture).pixels(), read_image(linear))


CMYK_PROFILE = profile(b"CMYK", **WHITE, A2B0=bytes(64))
FRAMES = [Image.fromarray(RGB), Image.fromarray(RGB[::-1])]


def saved(picture: Image.Image, ending: str, **options: object) -> bytes:
    picture.save(file := io.BytesIO(), ending, **options)
    return file.getvalue()


def overwritten(data: bytes, place: int, content: bytes) -> bytes:
    return data[:place] + content + data[place + len(content) :]


JPEG = saved(Image.fromarray(RGB), "JPEG")
PALETTE = Image.fromarray(RGB).quantize(16)
INDICES = np.asarray(PALETTE)
REFUSED = {
    "transparent RGBA PNG": (saved(Image.fromarray(with_alpha(254)), "PNG"), "204 of its 204 pixels are transparent.*background"),
    "transparent RGBA WebP": (saved(Image.fromarray(with_alpha(128)), "WEBP", lossless=True), "204 of its 204 pixels are transp"),
    "transparent grey TIFF": (saved(Image.fromarray(with_alpha(9)[..., 2:], "LA"), "TIFF"), "204 pixels are transparent"),
    "GIF with a transparent index": (
        saved(PALETTE, "GIF", transparency=int(INDICES[0, 0])), f"{(INDICES[0, 0] == INDICES).sum()} of its 204 pixels are transparent"
    ),
    "GIF smaller than its canvas": (
        overwritten(saved(PALETTE, "GIF"), 6, struct.pack("<HH", 20, 12)), "36 of its 240 pixels are transparent"
    ),
    "JPEG larger than Pillow reads": (
        overwritten(JPEG, JPEG.index(b"\xff\xc0") + 5, struct.pack(">HH", 65000, 65000)), "larger than Pillow reads.*; shrink or cut it"
    ),
    "PNG with a long side": (saved(Image.new("RGB", (17_000, 2)), "PNG"), "17000x2 pixels.*1 to 16384; shrink or cut it first$"),
    "PPM with a long side": (b"P5 17000 1 255\n" + bytes(17_000), "17000x1 pixels.*1 to 16384, shrink or cut it first$"),
    "PNG with a transparent index": (
        saved(PALETTE, "PNG", transparency=int(INDICES[0, 0])), f"{(INDICES[0, 0] == INDICES).sum()} of its 204 pixels are transparent"
    ),
    "PNG with a colour key": (saved(Image.fromarray(RGB), "PNG", transparency=tuple(RGB[3, 4].tolist())), "1 of its 204 pixels"),
    "grey PNG with a key": (saved(Image.fromarray(GREY), "PNG", transparency=int(GREY[3, 4])), "of its 204 pixels are transp"),
    "animated GIF": (saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "holds 2 pictures.*seek"),
    "animated PNG": (saved(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "animation of 2 pictures.*file of its own"),
    "animated WebP": (saved(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "holds 2 pictures.*seek"),
    "TIFF of two pages": (saved(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), "holds 2 pictures.*pages"),
    "CMYK JPEG": (saved(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "colours are CMYK.*sRGB with an image editor"),
    "16-bit TIFF": (saved(Image.fromarray(GREY.astype(np.uint16)), "TIFF"), 'mode I;16.*channels="grey", value_range'),
    "float TIFF": (saved(Image.fromarray(GREY.astype(np.float32)), "TIFF"), 'mode F.*channels="grey", value_range'),
    "printer's profile": (saved(Image.fromarray(RGB), "JPEG", icc_profile=CMYK_PROFILE), "CMYK colours.*convert it to sRGB"),
    "damaged profile": (saved(Image.fromarray(RGB), "PNG", icc_profile=b"no profile"), "profile is damaged.*convert it to sRGB"),
    "PNG of another gamut": (
        with_chunk(with_chunk(encode_png(RGB), b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
                   b"gAMA", struct.pack(">I", 45455)),
        "primaries are not those of sRGB.*convert it",
    ),
    "PNG of HDR": (with_chunk(encode_png(RGB), b"cICP", bytes([9, 16, 0, 1])), "cICP chunk.*convert it to sRGB"),
    "pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "pointer of Git LFS.*git lfs pull"
    ),
    "web page": (b"\n<!DOCTYPE HTML><html></html>", "is a web page.*save the image"),
    "empty": (b"", "is empty"),
    "text": (b"not a picture", "no image in a format that Pillow reads.*PNG or JPEG"),
    "half a JPEG": (saved(Image.fromarray(RGB), "JPEG")[:400], "damaged.*fetch it or save it again"),
    "half a PNG": (encode_png(RGB)[:-20], "truncated; fetch it"),
    "short PPM": (b"P6 17 12 255\n" + RGB.tobytes()[:-1], "611 bytes where 17x12 pixels need 612"),
    "PPM beyond its maximum": (b"P6 1 1 15\n\x00\x10\x00", "a value is 16, its largest is stated as 15"),
    "PPM without pixels": (b"P6 0 1 255\n", "0x1"),
    "PPM of a word": (b"P6 two 1 255\n", "header is malformed"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_why_and_what_helps(tmp_path, name):
    content, message = REFUSED[name]
    (tmp_path / "image.xyz").write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        read_image(tmp_path / "image.xyz")
    assert str(tmp_path / "image.xyz") in str(caught.value) and "convert it to RGB" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_looks_transparent_but_is_not_is_taken():
    unused = next(i for i in range(16) if not (i == INDICES).any()) if len(np.unique(INDICES)) < 16 else None
    key = next((r, 0, 0) for r in range(256) if not ((r, 0, 0) == RGB).all(-1).any())
    assert np.array_equal(read_image(saved(Image.fromarray(RGB), "PNG", transparency=key)), RGB)
    if unused is not None:
        assert np.array_equal(
            read_image(saved(PALETTE, "GIF", transparency=unused)), np.asarray(PALETTE.convert("RGB"))
        )
    for ending in ("GIF", "PNG"):
        assert np.array_equal(read_image(saved(PALETTE, ending)), np.asarray(PALETTE.convert("RGB")))


def test_the_first_picture_of_a_phones_jpeg_is_the_photograph():
    """MPO: a JPEG with further views after it."""
    data = saved(FRAMES[0], "MPO", save_all=True, append_images=FRAMES[1:])
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "MPO" and picture.n_frames == 2
        assert np.array_equal(read_image(data), np.asarray(picture))


def test_a_refused_animation_is_taken_as_its_remedy_says():
    with Image.open(io.BytesIO(REFUSED["animated GIF"][0])) as picture:
        picture.seek(1)
        assert np.array_equal(moesaic.Image(picture).pixels(), np.asarray(picture.convert("RGB")))
    with Image.open(io.BytesIO(REFUSED["16-bit TIFF"][0])) as picture:
        found = moesaic.Image(np.asarray(picture), channels="grey", value_range=(0, 255)).pixels()
    assert np.array_equal(found, np.dstack([GREY] * 3))


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
