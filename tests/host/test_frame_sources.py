"""Frames from folders, and from videos and cameras through OpenCV, of which there is a stand-in here."""

import itertools
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.host.frame_sources import is_camera, is_pictures, open_frames
from moesaic.host.image_files import encode_png


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.PNG", "c.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(encode_png(np.zeros((4, 4, 3), np.uint8)))
    return tmp_path


class Capture:
    """cv2.VideoCapture of three blue frames."""

    opened: ClassVar[list] = []
    released = 0

    def __init__(self, source) -> None:
        Capture.opened.append(source)
        self.left = 3

    def isOpened(self) -> bool:
        return self.left > 0 and Capture.opened[-1] != "empty.mp4"

    def read(self):
        self.left -= 1
        frame = np.zeros((2, 3, 3), np.uint8)
        frame[..., 0] = 255
        return (True, frame) if self.left >= 0 else (False, None)

    def release(self) -> None:
        Capture.released += 1


@pytest.fixture
def cv2(monkeypatch):
    module = types.ModuleType("cv2")
    module.VideoCapture = Capture
    monkeypatch.setitem(sys.modules, "cv2", module)
    Capture.opened, Capture.released = [], 0


def test_pictures_of_a_folder_in_order(folder):
    names = [path.name for path in open_frames(str(folder), endless=False)]
    assert names == ["a.PNG", "b.png", "c.jpg"]
    repeated = [path.name for path in itertools.islice(open_frames(str(folder), endless=True), 7)]
    assert repeated == [*names, *names, "a.PNG"]
    assert [path.name for path in open_frames(str(folder / "b.png"), endless=False)] == ["b.png"]
    assert is_pictures(str(folder)) and is_pictures("x.jpeg") and not is_pictures("x.mp4") and not is_pictures("0")


def test_video_and_camera(cv2, tmp_path):
    (tmp_path / "road.mp4").write_bytes(b"")
    frames = list(open_frames(str(tmp_path / "road.mp4"), endless=True))
    assert len(frames) == 3 and np.array_equal(frames[0].pixels()[0, 0], [0, 0, 255])
    camera = open_frames("0", endless=True)
    next(camera)
    camera.close()
    assert Capture.opened == [str(tmp_path / "road.mp4"), 0] and Capture.released == 2


def test_what_cannot_be_read(cv2, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="does not exist"):
        open_frames("nothing.mp4", endless=False)
    with pytest.raises(UserError, match="0 pictures"):
        open_frames(str(tmp_path), endless=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty\.mp4 cannot be opened"):
        open_frames("empty.mp4", endless=False)
    assert Capture.released == 1
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"OpenCV is missing.*folder of pictures"):
        open_frames("0", endless=False)


@pytest.mark.parametrize(
    ("source", "camera"), [("0", True), ("/dev/video1", True), ("film.mp4", False), ("photos", False)]
)
def test_cameras(source, camera):
    assert is_camera(source) == camera
