"""What another program's network expects as its image: as the files beside its weights say, or as its family was published."""

import math
from dataclasses import dataclass, replace
from typing import Any

from moesaic.errors import UserError
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.spec.input_description import InputDescription

_IMAGENET = InputDescription(mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225))
_HALF = InputDescription(mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))
_NONE = InputDescription(mean=(0.0, 0.0, 0.0), deviation=(1.0, 1.0, 1.0))
NORMALISATIONS = {"imagenet": _IMAGENET, "half": _HALF, "none": _NONE}
"""Inputs that state a normalisation alone: ImageNet's, that of timm's augreg weights and of ViT in transformers, and none (0..1)."""

_RESAMPLING = {
    0: "linear",
    1: "cubic",
    2: "linear",
    3: "cubic",
    4: "linear",
    5: "linear",
}  # Pillow's numbers; nearest of ours
_NAMED_RESAMPLING = {
    "bilinear": "linear",
    "bicubic": "cubic",
    "nearest": "linear",
    "lanczos": "cubic",
    "random": "cubic",
}
_EVALUATION = replace(_IMAGENET, resize="crop", crop_ratio=224 / 256, interpolation="cubic")  # of 256 pixels 224
_CITYSCAPES_CLASSES = 7  # of MTAN's release
_TIMM_MODES = {"center": "crop", "squash": "stretch", "border": "pad"}
_SQUARE_IF_ONE_NUMBER = ("ViT", "DeiT", "Beit")  # processors that resize to a square where `size` is one number
_PROCESSORS = {
    "ViT": {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": 224},
    "DeiT": {
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "size": 256,
        "do_center_crop": True,
        "crop_size": 224,
        "resample": 3,
    },
    "Bit": {"size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": 224, "resample": 3},
}
"""What the image processors of transformers take for entries that a file leaves out, by the start of their names."""


@dataclass(frozen=True)
class SourceInput:
    """An input description and where it is from, in words."""

    description: InputDescription
    origin: str


def source_input(source: ForeignCheckpoint, library: str, data: str = "", classes: int = 0) -> SourceInput:
    """What a network's input is. UserError if the files beside its weights state what no description can hold.

    library: one of `moesaic.model.importing.plain_vit.LIBRARIES`, "m3vit" or "onnx". data: the recipe's data set. classes: for M3ViT, those
    of its segmentation, 0 if it has none.
    """
    settings = source.settings
    if isinstance(timm := settings.get("pretrained_cfg"), dict):
        return SourceInput(_of_timm(timm, source), "pretrained_cfg in the config.json beside the weights")
    if settings.get("normalised_by_graph"):
        return SourceInput(_NONE, "the graph normalises its images itself")
    if any(name in settings for name in ("image_mean", "do_normalize", "rescale_factor", "do_rescale", "crop_size")):
        return SourceInput(_of_processor(settings, source), "the preprocessor_config.json beside the weights")
    if library == "onnx":
        return SourceInput(_IMAGENET, "ImageNet's normalisation; a graph tells none")
    if library == "m3vit":
        return _of_m3vit(data, classes)
    if library == "transformers" and settings.get("model_type") in ("vit", "ijepa"):
        kind = settings["model_type"]
        return SourceInput(replace(_HALF, resize="stretch"), f"the default of transformers for {kind}")
    if library == "timm":
        description = replace(_EVALUATION, crop_ratio=0.9)
        return SourceInput(description, "timm's for DeiT (its augreg weights take --normalisation half)")
    name = settings.get("model_type", library)
    return SourceInput(_EVALUATION, f"the published evaluation of {name}")


def _of_m3vit(data: str, classes: int) -> SourceInput:
    """Upstream stretches images to the network's size and normalises them as ImageNet's, but for Cityscapes, which stays 0..1.

    `data/cityscapes.py` takes no transforms (lines 113-148: the stored 0..1, 128x256); for the others `get_transformations` is
    `FixedResize` with cubic interpolation, `ToTensor` and `Normalize` (`utils/common_config.py`, lines 441-454; `utils/config.py`,
    lines 26 and 159-175 for interpolation and sizes).
    """
    if data.startswith("cityscapes") or (data == "scenes" and classes == _CITYSCAPES_CLASSES):
        return SourceInput(replace(_NONE, resize="stretch"), "M3ViT's for Cityscapes")
    description = replace(_IMAGENET, resize="stretch", interpolation="cubic")
    return SourceInput(description, "M3ViT's for NYUD-v2 and PASCAL-Context")


def _of_timm(settings: dict, source: ForeignCheckpoint) -> InputDescription:
    """The description that timm's `pretrained_cfg` states; `crop_pct` is the share of the resized image that is cut out."""
    mode = settings.get("crop_mode", "center")
    if mode not in _TIMM_MODES:
        raise UserError(f"{source.path}: crop_mode {mode!r} in config.json is unknown: state --resize")
    resize, ratio = _TIMM_MODES[mode], settings.get("crop_pct", 0.875)
    values: dict[str, Any] = {
        "resize": resize,
        "crop_ratio": ratio if resize != "pad" else 1.0,
        "interpolation": _NAMED_RESAMPLING.get(settings.get("interpolation", "bilinear"), "linear"),
    }
    for ours, theirs in (("mean", "mean"), ("deviation", "std")):
        if theirs in settings:
            values[ours] = _three(settings[theirs], source, f"{theirs} in config.json")
    return replace(_IMAGENET, **values)


def _of_processor(settings: dict, source: ForeignCheckpoint) -> InputDescription:
    """The description that an image processor's settings in transformers state."""
    name = _processor_name(settings)
    settings = next((usual for start, usual in _PROCESSORS.items() if name.startswith(start)), {}) | settings
    factor = settings.get("rescale_factor", 1 / 255) if settings.get("do_rescale", True) else 1.0
    if type(factor) not in (int, float) or not 0 < factor < math.inf:
        raise UserError(f"{source.path}: rescale_factor {factor!r} in preprocessor_config.json is no positive number")
    mean = _three(settings.get("image_mean", _IMAGENET.mean), source, "image_mean in preprocessor_config.json")
    std = _three(settings.get("image_std", _IMAGENET.deviation), source, "image_std in preprocessor_config.json")
    if settings.get("do_normalize") is False:
        mean, std = _NONE.mean, _NONE.deviation
    scale = 1 if factor == 1 / 255 else 255 * factor  # theirs is (pixel * factor - mean) / std
    return InputDescription(
        mean=tuple(value / scale for value in mean),
        deviation=tuple(value / scale for value in std),
        interpolation=_RESAMPLING.get(settings.get("resample", 2), "linear"),
        **_geometry(settings, source),
    )


def _processor_name(settings: dict) -> str:
    return str(settings.get("image_processor_type") or settings.get("feature_extractor_type") or "")


def _geometry(settings: dict, source: ForeignCheckpoint) -> dict[str, Any]:
    """How an image processor resizes: entries of an `InputDescription`."""
    size, crop = settings.get("size", 224), settings.get("crop_size")
    crops = bool(settings.get("do_center_crop", False)) and settings.get("do_resize", True) is not False
    if type(size) is int:
        square = _processor_name(settings).startswith(_SQUARE_IF_ONE_NUMBER)
        size = {"height": size, "width": size} if square else {"shortest_edge": size}
    if type(crop) is int:
        crop = {"height": crop, "width": crop}
    if not isinstance(size, dict):
        raise UserError(f"{source.path}: size {size!r} in preprocessor_config.json is unknown: state --resize")
    if "longest_edge" in size and "shortest_edge" not in size:
        return {"resize": "pad", "pad_side": "end"}
    edge = size.get("shortest_edge", size.get("height"))
    cut = crop.get("height") if isinstance(crop, dict) else None
    ratio = 1.0
    if crops and type(edge) is int and type(cut) is int and 0 < cut < edge:
        ratio = cut / edge
    return {"resize": "crop" if "shortest_edge" in size else "stretch", "crop_ratio": ratio}


def _three(values: object, source: ForeignCheckpoint, name: str) -> tuple[float, ...]:
    good = isinstance(values, list | tuple) and len(values) == 3 and all(type(v) in (int, float) for v in values)
    if not good:
        raise UserError(f"{source.path}: {name} is {values!r}, not three numbers: state --mean and --deviation")
    return tuple(values)  # type: ignore[arg-type]
