"""Finds the bundle, and with it the integers of the network, from the ONNX file that a user names."""

from __future__ import annotations

from pathlib import Path

from moesaic.errors import UserError
from moesaic.files import read_file, read_manifest
from moesaic.spec.bundle import FORMAT, MANIFEST, VERSION, Bundle, load_bundle

_REMEDY = "make it again with `moesaic export`"


def find_bundle(onnx: object) -> Bundle:
    """The bundle that contains an ONNX file, with every hash checked.

    onnx: what hls4ml was given as the model.

    Raises UserError unless `onnx` is the path of a file, as text, that the bundle's manifest lists with the content that the file
    has.
    """
    if not isinstance(onnx, str):
        raise UserError(
            f"the model is a {type(onnx).__name__}, the integers of a network lie beside its file: "
            "give the path of model.onnx in a bundle, as text"
        )
    path = Path(onnx)
    directory = path.parent
    if not (directory / MANIFEST).is_file():
        raise UserError(
            f"{path} lies in no bundle: {MANIFEST} is missing beside it, which lists the integers of the network; "
            "name the model.onnx of a bundle that `moesaic export` wrote"
        )
    read_file(directory, read_manifest(directory, MANIFEST, FORMAT, VERSION, _REMEDY), path.name, _REMEDY)
    return load_bundle(directory)
