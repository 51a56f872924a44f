"""Frames from a folder, an image file, a video file or a camera."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from moesaic.errors import UserError
from moesaic.files import PICTURE_SUFFIXES, pictures_in
from moesaic.host.image import Image


def is_pictures(source: str) -> bool:
    """Whether `source` names a folder or an image file; all other sources need OpenCV."""
    return Path(source).is_dir() or Path(source).suffix.lower() in PICTURE_SUFFIXES


def is_camera(source: str) -> bool:
    """Whether `source` is a camera, which goes on whether frames are taken or not."""
    return source.isdecimal() or source.startswith("/dev/")


def open_frames(source: str, endless: bool) -> Iterator[Image | Path]:
    """Open a source of frames for `Accelerator.stream`: paths, or images of arrays as OpenCV gives them.

    Args:
        source: a folder, whose images come in order of their names; an image file; a video file; or a camera, by its number or as
            /dev/videoN.
        endless: start a folder or image file over after its last image.

    Raises:
        UserError: there is nothing to read, or OpenCV is needed and missing. Raised here, not while frames are drawn.
    """
    path = Path(source)
    if is_pictures(source):
        return _pictures(path, endless)
    if not source.isdecimal() and not path.exists():
        raise UserError(
            f"source {source} does not exist; name a folder of pictures, a video file or the number of a camera"
        )
    return _captured(int(source) if source.isdecimal() else source)


def image_paths(sources: Sequence[Path]) -> list[Path]:
    """The image files that are named, and those in the folders that are, in order of their names. UserError for an empty folder."""
    return [path for source in sources for path in _files_of(source)]


def _files_of(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        files = pictures_in(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); name a folder that can be") from None
    if not files:
        raise UserError(f"{path} holds 0 pictures; put files named {', '.join(PICTURE_SUFFIXES)} there")
    return files


def _pictures(path: Path, endless: bool) -> Iterator[Path]:
    files = _files_of(path)
    return itertools.cycle(files) if endless else iter(files)


def _captured(source: int | str) -> Iterator[Image]:
    try:
        import cv2  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise UserError(
            f"OpenCV is missing: source {source} is a video or a camera, which it reads; install it with: "
            "pip install opencv-python-headless, or name a folder of pictures"
        ) from None
    capture = cv2.VideoCapture(source)
    if not capture.isOpened():
        capture.release()
        raise UserError(f"source {source} cannot be opened by OpenCV; name another video file or camera")
    return _frames_of(capture)


def _frames_of(capture) -> Iterator[Image]:
    try:
        while True:
            there, frame = capture.read()
            if not there:
                return
            yield Image(frame, channels="bgr")
    finally:
        capture.release()
