"""The page: what it serves, what it refuses, and how it looks in a browser."""

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.commands.watch import watch
from moesaic.host.png import decode_png, encode_png
from moesaic.host.prediction_pictures import CLASS_COLOURS
from moesaic.host.viewer import INPUT, Viewer

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def accelerator(saved_build):
    with moesaic.open(saved_build, "emulator") as accelerator:
        yield accelerator


@pytest.fixture
def viewer(build):
    with Viewer(build, "emulator", list(build.tasks), "127.0.0.1", 0) as viewer:
        yield viewer


def get(viewer: Viewer, path: str) -> bytes:
    with urllib.request.urlopen(viewer.url + path, timeout=20) as answer:
        return answer.read()


def state(viewer: Viewer) -> dict:
    return json.loads(get(viewer, "state"))


def post(viewer: Viewer, content: bytes, kind: str = "application/json", path: str = "choice") -> int:
    request = urllib.request.Request(viewer.url + path, content, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (40, 48, 3)).astype(np.uint8) for _ in range(count)]


def test_pictures_on_the_page_are_those_of_single_runs(accelerator, viewer, build):
    pictures = frames(3)
    assert watch(accelerator, iter(pictures), viewer) == 3
    shown = state(viewer)
    assert shown["frame"] == 2 and [panel["name"] for panel in shown["panels"]] == list(build.tasks)
    for index, picture in enumerate(pictures):
        for task in build.tasks:
            result = accelerator.run(picture, task)
            assert np.array_equal(decode_png(get(viewer, f"picture/{index}/{task}")), result.picture)
        assert np.array_equal(decode_png(get(viewer, f"picture/{index}/{INPUT}")), result.image)


def test_legend_names_the_classes_that_are_there(accelerator, viewer, build):
    watch(accelerator, frames(1), viewer)
    decoded = accelerator.run(frames(1)[0], "segmentation").decoded
    (panel,) = [panel for panel in state(viewer)["panels"] if panel["name"] == "segmentation"]
    names = build.tasks["segmentation"].class_names
    expected = {names[c]: "#" + bytes(CLASS_COLOURS[c].tolist()).hex() for c in np.unique(decoded)}
    assert {entry["text"]: entry["colour"] for entry in panel["legend"]} == expected


def test_choice_takes_effect_on_the_next_frame(accelerator, viewer):
    def source():
        yield from frames(2)
        assert post(viewer, b'["depth"]') == 200
        yield from frames(2)

    watch(accelerator, source(), viewer)
    assert viewer.chosen == ("depth",)
    assert [panel["name"] for panel in state(viewer)["panels"]] == ["depth"] and state(viewer)["chosen"] == ["depth"]


@pytest.mark.parametrize(
    ("content", "kind", "path", "code"),
    [
        (b'["pose"]', "application/json", "choice", 400),
        (b"[]", "application/json", "choice", 400),
        (b'{"a": 1}', "application/json", "choice", 400),
        (b"[1]", "application/json", "choice", 400),
        (b"rubbish", "application/json", "choice", 400),
        (b'["depth"]', "text/plain", "choice", 415),
        (b'["depth"]', "application/json", "elsewhere", 404),
        (b'"' + b"x" * 20_000 + b'"', "application/json", "choice", 404),
    ],
    ids=["unknown", "none", "table", "number", "rubbish", "another origin's type", "another page", "too long"],
)
def test_a_wrong_choice_changes_nothing(viewer, build, content, kind, path, code):
    assert post(viewer, content, kind, path) == code
    assert viewer.chosen == tuple(build.tasks)


@pytest.mark.parametrize("path", ["nothing", "picture/0/depth", "picture/x/depth", "../build.json", "host/viewer.py"])
def test_other_pages_do_not_exist(viewer, path):
    with pytest.raises(urllib.error.HTTPError) as caught:
        get(viewer, path)
    assert caught.value.code == 404


def test_old_frames_are_forgotten(accelerator, viewer):
    watch(accelerator, (frames(1)[0] for _ in range(40)), viewer)
    assert state(viewer)["frame"] == 39
    get(viewer, "picture/39/depth")
    with pytest.raises(urllib.error.HTTPError):
        get(viewer, "picture/3/depth")


def test_a_port_that_is_taken(viewer, build):
    port = int(viewer.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(UserError, match=f"port {port} .*in use.*--port"):
        Viewer(build, "emulator", ["depth"], "127.0.0.1", port)


@pytest.mark.parametrize("address", ["192.0.2.1", "no.such.host.invalid", "::1", "x" * 64, ""])
def test_an_address_that_is_not_this_machines(build, address):
    """Refused by the system, not found, of another family, no name at all; only none at all is every address."""
    if not address:
        Viewer(build, "emulator", ["depth"], address, 0).close()
        return
    with pytest.raises(UserError, match=f"address '{re.escape(address)}'.*--address") as caught:
        Viewer(build, "emulator", ["depth"], address, 0)
    assert "--port" not in str(caught.value)


def test_watch_a_folder(run_moesaic, saved_build, tmp_path):
    for index, frame in enumerate(frames(2)):
        (tmp_path / f"{index}.png").write_bytes(encode_png(frame))
    words = ("--executor", "emulator", "--port", 0, "--rate", 0)
    code, out, err = run_moesaic("watch", saved_build, tmp_path, *words, "--frames", 5)
    assert (code, err) == (0, "")
    assert re.search(r"on the emulator: http://127\.0\.0\.1:\d+/", out) and out.endswith("5 frames shown\n")


def test_watch_names_a_picture_that_cannot_be_read(run_moesaic, board_build, board, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.png").write_bytes(encode_png(frames(1)[0]))
    (folder / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    code, _, err = run_moesaic("watch", board_build, folder, "--port", 0, "--rate", 0)
    assert code == 2 and "b.png cannot be read" in err and err.count("\n") == 1
    assert board.buffers == []


def test_watch_without_opencv(run_moesaic, saved_build, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    code, _, err = run_moesaic("watch", saved_build, "0")
    assert code == 2 and "OpenCV is missing" in err


@pytest.mark.skipif(
    BROWSER is None, reason="no Chromium: apt-get install chromium, then pytest tests/host/test_viewer.py"
)
def test_page_in_a_browser(accelerator, viewer, build, tmp_path):
    """The page loads, shows a panel for every task with its picture, and its buttons name the tasks."""
    watch(accelerator, frames(2), viewer)
    shown = browse(viewer, tmp_path, "--dump-dom")
    assert re.findall(r'data-name="([^"]+)"', shown) == [INPUT, *build.tasks]
    assert shown.count("<img ") == 1 + len(build.tasks)
    for task in build.tasks:
        assert f">{task}</button>" in shown
    assert f"{build.name} on the emulator, frame 1" in shown
    picture = Path(tmp_path / "page.png")
    browse(viewer, tmp_path, f"--screenshot={picture}")
    pixels = decode_png(picture.read_bytes())[..., :3]
    assert pixels.shape == (800, 1200, 3)
    colours = {tuple(colour) for colour in pixels.reshape(-1, 3).tolist()}
    classes = np.unique(accelerator.run(frames(2)[1], "segmentation").decoded)
    assert all(tuple(CLASS_COLOURS[c].tolist()) in colours for c in classes), (
        "the segmentation's colours are not on the page"
    )


def browse(viewer: Viewer, directory: Path, action: str) -> str:
    words = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
        f"--user-data-dir={directory / 'profile'}", "--window-size=1200,800", "--virtual-time-budget=4000", action, viewer.url,
    ]  # fmt: skip
    process = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout
