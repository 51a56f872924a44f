"""What other programs' networks take as their image: pixel values as transformers' own image processors give them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.importing.source_input import NORMALISATIONS, source_input
from moesaic.spec.input_description import InputDescription
from moesaic.spec.resize import fit

transformers = pytest.importorskip(
    "transformers", reason="transformers is missing: pip install -c constraints.txt -e .[test]"
)

SIZES = [(375, 500), (500, 375), (97, 301), (256, 256), (240, 231), (64, 48)]
IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
PROCESSORS = {
    "vit": ("ViTImageProcessor", {}),
    "vit-32": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, **IMAGENET}),
    "vit-no-normalisation": ("ViTImageProcessor", {"do_normalize": False}),
    "vit-half-range": (
        "ViTImageProcessor",
        {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
    ),
    "vit-cubic": ("ViTImageProcessor", {"resample": 3}),
    "deit": ("DeiTImageProcessor", {}),
    "deit-imagenet": ("DeiTImageProcessor", IMAGENET),
    "dinov2": ("BitImageProcessor", {"size": {"shortest_edge": 256}, **IMAGENET}),
    "dinov2-518": ("BitImageProcessor", {"size": {"shortest_edge": 518}, "crop_size": {"height": 518, "width": 518}}),
    "bit": ("BitImageProcessor", {}),
    "bit-linear": (
        "BitImageProcessor",
        {"size": {"shortest_edge": 61}, "crop_size": {"height": 50, "width": 50}, "resample": 2},
    ),
}


def described(**settings):
    return source_input(ForeignCheckpoint("x", {}, settings), "transformers").description


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("family", PROCESSORS)
def test_pixel_values_are_those_of_the_library(tmp_path, family, size):
    """Exactly, but for linear interpolation, which rounds once where Pillow rounds twice, and cubic stretching (see `resize`)."""
    name, settings = PROCESSORS[family]
    processor = getattr(transformers, name)(**settings)
    processor.save_pretrained(tmp_path)
    found = described(**json.loads((tmp_path / "preprocessor_config.json").read_text()))
    y, x = np.mgrid[: size[0], : size[1]]
    noise = np.random.default_rng(0).integers(-20, 21, (*size, 3))
    image = np.clip(np.stack([y * 255 / size[0], x * 255 / size[1], 128 + 0 * x], -1) + noise, 0, 255).astype(np.uint8)
    expected = processor(image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    seen, _ = fit(image, found, *expected.shape[:2])
    difference = np.abs(found.normalised(seen) - expected) * 255 * np.array(found.deviation)
    exact = found.interpolation == "cubic" and found.resize == "crop"
    assert difference.max() < (1e-3 if exact else 1.001 if found.interpolation == "linear" else 4)
    assert difference.mean() < 0.3


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_crop_lies_where_the_library_cuts(size):
    """Positions as pixel values: two ramps, which survive any interpolation."""
    processor = transformers.BitImageProcessor(
        size={"shortest_edge": 64}, crop_size={"height": 56, "width": 56}, do_normalize=False
    )
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.stack([y * 255 / size[0], x * 255 / size[1], 0 * x], -1).astype(np.uint8)
    expected = processor(image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    found = described(**processor.to_dict())
    seen, placement = fit(image, found, 56, 56)
    assert np.abs(seen / 255 - expected).max() < 1e-3
    top, left, height, width = placement.seen
    inside = image[round(top + 1) : round(top + height - 1), round(left + 1) : round(left + width - 1)]
    assert (
        np.abs(
            np.array([seen.min((0, 1)), seen.max((0, 1))]).astype(int) - [inside.min((0, 1)), inside.max((0, 1))]
        ).max()
        < 16
    )


def test_entries_of_a_file_are_read_and_what_is_missing_is_the_processors():
    assert described(do_normalize=False).mean == (0, 0, 0) and described(do_normalize=False).deviation == (1, 1, 1)
    old = described(feature_extractor_type="ViTFeatureExtractor", size=224, do_normalize=True)
    assert old == InputDescription(resize="stretch")
    assert described(feature_extractor_type="ViTFeatureExtractor", size=224, **IMAGENET).mean == (0.485, 0.456, 0.406)
    assert described(feature_extractor_type="CLIPFeatureExtractor", size=224, **IMAGENET).resize == "crop"
    assert described(size={"longest_edge": 1024}, **IMAGENET) == replace(
        NORMALISATIONS["imagenet"], resize="pad", pad_side="end"
    )
    minimal = described(image_processor_type="DeiTImageProcessor", do_normalize=True)
    assert minimal == InputDescription(resize="stretch", crop_ratio=224 / 256, interpolation="cubic")


def test_timms_entries_are_read():
    settings = {"mean": [0.5] * 3, "std": [0.4] * 3, "crop_pct": 0.9, "interpolation": "bicubic", "crop_mode": "center"}
    found = described(pretrained_cfg=settings)
    assert found == InputDescription((0.5,) * 3, (0.4,) * 3, "crop", 0.9, interpolation="cubic")
    assert described(pretrained_cfg=settings | {"crop_mode": "squash", "crop_pct": 1.0}).resize == "stretch"
    assert described(pretrained_cfg=settings | {"crop_mode": "border"}).resize == "pad"
    _, placement = fit(np.zeros((480, 640, 3), np.uint8), found, 224, 224)
    assert placement.resized == (248, 330) and placement.window == (12, 53)  # as timm's transforms do it


def test_without_files_it_is_what_the_authors_published():
    def of(library, data="", classes=0, **settings):
        return source_input(ForeignCheckpoint("x", {}, settings), library, data, classes)

    assert of("transformers", model_type="vit").description == InputDescription(resize="stretch")
    assert of("transformers", model_type="dinov2").description.crop_ratio == 224 / 256
    assert "dinov2" in of("transformers", model_type="dinov2").origin
    assert of("dino").description.mean == (0.485, 0.456, 0.406)
    assert of("m3vit", "nyud").description == replace(
        NORMALISATIONS["imagenet"], resize="stretch", interpolation="cubic"
    )
    cityscapes = replace(NORMALISATIONS["none"], resize="stretch")
    assert of("m3vit", "cityscapes-mtan", 7).description == of("m3vit", "scenes", 7).description == cityscapes


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"image_mean": [0.5], "image_std": [0.5]}, "not three numbers: state --mean and --deviation"),
        ({**IMAGENET, "rescale_factor": 0}, "rescale_factor 0 in preprocessor_config.json is no positive number"),
        ({**IMAGENET, "size": "large"}, "size 'large' in preprocessor_config.json is unknown: state --resize"),
        ({**IMAGENET, "image_std": [0.0, 1, 1]}, "input.deviation is .* each must be above 0"),
        ({"pretrained_cfg": {"crop_mode": "odd"}}, "crop_mode 'odd' in config.json is unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_description_can_hold_is_named(settings, words):
    with pytest.raises(UserError, match=words):
        described(**settings)
