"""The forms in which applications have images: each gives the pixels that it means, and what is ambiguous is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageOps

import moesaic
from moesaic.errors import UserError
from moesaic.host.png import encode_png
from moesaic.spec.input_description import InputDescription
from moesaic.spec.resize import fit

RGB = np.random.default_rng(0).integers(0, 256, (30, 41, 3)).astype(np.uint8)
BGR, CHW = RGB[..., ::-1].copy(), RGB.transpose(2, 0, 1).copy()
GREY = RGB[..., 1]
RGBA = np.dstack([RGB, np.full(GREY.shape, 255, np.uint8)])
UNIT = (RGB / 255).astype(np.float32)


class Tensor:
    """What PyTorch's tensors show numpy."""

    def __init__(self, array: np.ndarray, error: Exception | None = None) -> None:
        self.array, self.error = array, error

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        if self.error is not None:
            raise self.error
        return self.array


FORMS = {
    "array": moesaic.Image(RGB),
    "list": moesaic.Image(RGB.tolist(), value_range=(0, 255)),
    "bgr": moesaic.Image(BGR, channels="bgr"),
    "rgba": moesaic.Image(RGBA, channels="rgba"),
    "bgra": moesaic.Image(RGBA[..., [2, 1, 0, 3]], channels="bgra"),
    "chw": moesaic.Image(CHW, layout="chw"),
    "chw bgr": moesaic.Image(CHW[::-1], layout="chw", channels="bgr"),
    "float32": moesaic.Image(UNIT, value_range=(0, 1)),
    "float64 chw": moesaic.Image(CHW / 127.5 - 1, layout="chw", value_range=(-1, 1)),
    "float16": moesaic.Image(UNIT.astype(np.float16), value_range=(0, 1)),
    "float of bytes": moesaic.Image(RGB.astype(np.float32), value_range=(0, 255)),
    "uint16": moesaic.Image(RGB.astype(np.uint16) * 257, value_range=(0, 65535)),
    "tensor": moesaic.Image(Tensor(CHW), layout="chw"),
    "float tensor": moesaic.Image(Tensor(UNIT.transpose(2, 0, 1)), layout="chw", value_range=(0, 1)),
    "pillow": moesaic.Image(PillowImage.fromarray(RGB)),
    "bytes": moesaic.Image(encode_png(RGB)),
    "bytearray": moesaic.Image(bytearray(encode_png(RGB))),
    "read-only": moesaic.Image(np.frombuffer(RGB.tobytes(), np.uint8).reshape(RGB.shape)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_its_pixels(form):
    found = FORMS[form].pixels()
    assert found.dtype == np.uint8 and np.array_equal(found, RGB)


BY_THEMSELVES = ("array", "pillow", "bytes", "bytearray", "read-only")
"""Forms that are images without an Image around them."""


@pytest.mark.parametrize("form", FORMS)
def test_run_and_stream_take_every_form(saved_build, form):
    with moesaic.open(saved_build, "emulator") as accelerator:
        expected = accelerator.run(RGB, "depth")
        for image in [FORMS[form], *([FORMS[form].source] if form in BY_THEMSELVES else [])]:
            for result in (accelerator.run(image, "depth"), *accelerator.stream([image], "depth")):
                assert np.array_equal(result.image, expected.image) and np.array_equal(result.raw, expected.raw)
                assert result.placement == expected.placement


def test_real_tensors():
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(UNIT).permute(2, 0, 1)
    assert np.array_equal(moesaic.Image(tensor, layout="chw", value_range=(0, 1)).pixels(), RGB)
    assert np.array_equal(moesaic.Image(torch.from_numpy(RGB)).pixels(), RGB)
    for odd in (tensor.clone().requires_grad_(), tensor.to(torch.bfloat16), tensor.to("meta")):
        with pytest.raises(UserError, match=r"numpy cannot read .*tensor\.detach\(\)\.cpu\(\)\.float\(\)\.numpy\(\)"):
            moesaic.Image(odd, layout="chw", value_range=(0, 1)).pixels()


def test_every_byte_survives_as_a_float():
    ramp = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    for dtype in (np.float16, np.float32, np.float64):
        for low, high in ((0, 1), (-1, 1), (0, 255), (-0.5, 0.5)):
            values = (ramp / 255 * (high - low) + low).astype(dtype)
            assert np.array_equal(moesaic.Image(values, value_range=(low, high)).pixels(), ramp), (dtype, low, high)


def test_grey_where_it_is_said():
    for given in (GREY, GREY[..., None]):
        assert np.array_equal(moesaic.Image(given, channels="grey").pixels(), np.dstack([GREY] * 3))
    assert np.array_equal(moesaic.Image(GREY[None], channels="grey", layout="chw").pixels(), np.dstack([GREY] * 3))
    assert np.array_equal(moesaic.Image(PillowImage.fromarray(GREY)).pixels(), np.dstack([GREY] * 3))


def test_a_pillow_image_is_turned_as_its_file_would_be(tmp_path):
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    PillowImage.fromarray(RGB).save(file := io.BytesIO(), "PNG", exif=exif)
    with PillowImage.open(file) as picture:
        found = moesaic.Image(picture).pixels()
        assert np.array_equal(found, np.asarray(ImageOps.exif_transpose(picture))) and found.shape == (41, 30, 3)
        assert np.array_equal(found, moesaic.Image(ImageOps.exif_transpose(picture)).pixels())
    assert np.array_equal(found, moesaic.Image(file.getvalue()).pixels())


REFUSED = {
    "grey array": (moesaic.Image(GREY), r'no channels; if it is grey, pass moesaic\.Image\(array, channels="grey"\)'),
    "channels first": (moesaic.Image(CHW), r"\(3, 30, 41\), not \(height, width, channels\).*with layout='chw'$"),
    "channels last": (moesaic.Image(RGB, layout="chw"), r"with layout='hwc'$"),
    "alpha": (moesaic.Image(RGBA), r"3 channels rgb.*with channels='rgba' or channels='bgra'$"),
    "alpha, channels first": (
        moesaic.Image(RGBA.transpose(2, 0, 1)),
        r"with layout='chw' and channels='rgba' or channels='bgra'",
    ),
    "five channels": (moesaic.Image(np.zeros((5, 7, 5), np.uint8)), "image of Pillow, the path of an image file"),
    "transparent": (moesaic.Image(RGBA - np.uint8(1), channels="rgba"), "are transparent.*background of your choice"),
    "float": (moesaic.Image(UNIT), r"black and white are not known; pass moesaic\.Image\(array, value_range=\(0, 1\)\)"),
    "int64": (moesaic.Image(RGB.astype(int)), "black and white are not known"),
    "wrong range": (moesaic.Image(UNIT * 255, value_range=(0, 1)), "values 0 to 255, outside of value_range 0 to 1"),
    "normalised": (moesaic.Image(UNIT * 4 - 2, value_range=(0, 1)), "values -2 to 2, outside of value_range 0 to 1"),
    "not a number": (moesaic.Image(UNIT * np.nan, value_range=(0, 1)), "values nan to nan, outside"),
    "bytes out of range": (moesaic.Image(RGB, value_range=(0, 1)), "values 0 to 255, outside of value_range 0 to 1"),
    "complex": (moesaic.Image(UNIT * 1j, value_range=(0, 1)), "no real numbers"),
    "batch": (moesaic.Image(RGB[None]), r"4 axes; pass one image of the batch, such as batch\[0\]"),
    "line": (moesaic.Image(RGB[0, 0]), "it has 1 axes"),
    "empty": (moesaic.Image(RGB[:0]), "has 41x0 pixels; a side may have 1 to 16384, and this is no picture"),
    "nothing": (moesaic.Image(None), "is a NoneType, no image; give an array"),
    "masked": (moesaic.Image(np.ma.masked_less(RGB, 9)), r"has [\d,]+ masked values.*array\.filled\(VALUE\)"),
    "ragged": (moesaic.Image([[1], [2, 3]]), "numpy cannot read"),
    "on a GPU": (moesaic.Image(Tensor(RGB, TypeError("can't convert cuda:0"))), r"can't convert cuda:0.*\.cpu\(\)"),
    "file of BGR": (moesaic.Image(encode_png(RGB), channels="bgr"), "says itself.*leave out channels, layout and value_range"),
    "Pillow of CHW": (moesaic.Image(PillowImage.fromarray(RGB), layout="chw"), "image of Pillow, which says itself"),
    "no path": (moesaic.Image("a\0b"), "cannot be a path"),
    "missing": (moesaic.Image(Path("/nowhere/a.png")), r"image /nowhere/a\.png cannot be read \(No such file"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_guessed(saved_build, name):
    image, message = REFUSED[name]
    with moesaic.open(saved_build, "reference") as accelerator:
        with pytest.raises(UserError, match=message) as caught:
            accelerator.run(image, "depth")
        assert "\n" not in str(caught.value)
        with pytest.raises(UserError, match=message):
            next(accelerator.stream([image], "depth"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": "gbr"}, "channels is 'gbr'; choose 'rgb', 'bgr'"),
        ({"layout": "nchw"}, "layout is 'nchw'; choose 'hwc', 'chw'"),
        ({"resize": "letterbox"}, "resize is 'letterbox'; choose None, 'crop', 'pad', 'stretch'"),
        ({"value_range": 255}, r"value_range is 255; give the values of black and white, such as \(0, 1\)"),
        ({"value_range": (1, 0)}, "the smaller first"),
        ({"value_range": (0, np.inf)}, "value_range is"),
    ],
)
def test_unknown_descriptions_are_refused_at_once(options, message):
    with pytest.raises(UserError, match=message):
        moesaic.Image(RGB, **options)
    with pytest.raises(UserError, match="an Image of an Image"):
        moesaic.Image(moesaic.Image(RGB))


@pytest.mark.parametrize("resize", ["crop", "pad", "stretch"])
def test_the_way_to_the_networks_size_can_be_chosen(saved_build, build, resize):
    with moesaic.open(saved_build, "emulator") as accelerator:
        result = accelerator.run(moesaic.Image(BGR, channels="bgr", resize=resize), "depth")
        expected, placement = fit(RGB, InputDescription(resize=resize), build.image_height, build.image_width)
        assert np.array_equal(result.image, expected) and result.placement == placement
        assert result.at_image.shape == RGB.shape[:2]
        assert bool(result.at_image.mask.any()) == (resize == "crop")


def test_a_chosen_way_that_is_the_networks_keeps_its_ratio():
    usual = InputDescription(resize="crop", crop_ratio=0.875, interpolation="cubic")
    assert moesaic.Image(RGB, resize="crop").description(usual) == usual == moesaic.Image(RGB).description(usual)
    assert moesaic.Image(RGB, resize="pad").description(usual) == InputDescription(resize="pad", interpolation="cubic")
