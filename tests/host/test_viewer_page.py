"""The page in a browser, with real clicks and keys, while 30 frames a second arrive."""

import dataclasses
import io
import json
import threading
import time
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest

import moesaic
from moesaic.host.commands.watch import watch
from moesaic.host.prediction_pictures import class_picture
from moesaic.host.viewer import Viewer
from moesaic.host.viewer.stream_control import StreamControl
from tests.host.browser import CHROMIUM, MISSING, Browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)

FRAMES_PER_SECOND = 30
HEIGHT, WIDTH = 90, 160
LAYOUTS = {"wide": (1920, 1080, False), "tablet": (1024, 768, False), "phone": (390, 844, True)}
DARKENING = 1 - 0xB0 / 255
"""What page.js leaves of the part of an image that the network does not see, over a nearly black ground."""
CONTROLS = ["Pause", "Next", "Save", "Overlay", "Keys"]


class Recorded:
    """Answers at once, with results computed before; it tells images apart by their first value, a multiple of 60."""

    def __init__(self, accelerator, images: list[np.ndarray]) -> None:
        self.build = accelerator.build
        self.images = images
        self.results = [{task: accelerator.run(image, task) for task in self.build.tasks} for image in images]

    def stream(self, frames, tasks, newest):
        for index, image in enumerate(frames):
            for task in tasks(index):
                yield dataclasses.replace(self.results[image[0, 0, 0] // 60][task], index=index)


class Stage:
    """A viewer that is being fed, and how it was steered."""

    def __init__(self, recorded: Recorded, port: int = 0) -> None:
        self.choices: list[tuple[str, bool]] = []
        self.pauses: list[bool] = []
        stage = self

        class Noted(StreamControl):
            def choose(self, name: str, chosen: bool) -> None:
                stage.choices.append((name, chosen))
                super().choose(name, chosen)

            def pause(self, paused: bool) -> None:
                stage.pauses.append(paused)
                super().pause(paused)

        self.recorded, build = recorded, recorded.build
        self.control = Noted(build, list(build.tasks), FRAMES_PER_SECOND)
        self.viewer = Viewer(build, "recording", self.control, "127.0.0.1", port)
        self._thread = threading.Thread(target=watch, args=(recorded, self._images(), self.viewer))
        self._thread.start()

    def _images(self) -> Iterator[np.ndarray]:
        while True:
            yield from self.recorded.images

    def wait_for(self, count: int) -> None:
        """Wait until so many clicks or keys have arrived."""
        until = time.monotonic() + 60
        while len(self.choices) + len(self.pauses) < count and time.monotonic() < until:
            time.sleep(0.02)

    def close(self) -> None:
        self.viewer.close()
        self._thread.join()


@pytest.fixture(scope="module")
def recorded(saved_build) -> Recorded:
    rng = np.random.default_rng(8)
    images = [rng.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(4)]
    for index, image in enumerate(images):
        image[0, 0] = 60 * index
    with moesaic.open(saved_build, "emulator") as accelerator:
        return Recorded(accelerator, images)


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("browser") / "profile") as browser:
        yield browser


@pytest.fixture
def stage(recorded):
    stage = Stage(recorded)
    yield stage
    stage.close()


@pytest.fixture
def browser(shared_browser, stage):
    """On the page, which shows frames."""
    shared_browser.problems.clear()
    shared_browser.open(stage.viewer.url)
    shared_browser.wait_for(f"document.querySelectorAll('canvas').length === {1 + len(stage.recorded.build.tasks)}")
    yield shared_browser
    problems = list(shared_browser.problems)
    shared_browser.open("about:blank")
    assert problems == []


def frame(browser: Browser) -> int:
    return int(browser.evaluate("document.getElementById('frame').textContent"))


def button(name: str) -> str:
    """Selector of a task's button."""
    return f'#tasks button[data-task="{name}"]'


def settle(browser: Browser, selector: str, pressed: bool) -> None:
    browser.wait_for(
        f"document.querySelector({json.dumps(selector)}).getAttribute('aria-pressed') === '{str(pressed).lower()}'"
    )


def test_twenty_clicks_of_twenty_arrive(browser, stage):
    browser.evaluate(f"window.before = document.querySelector({json.dumps(button('depth'))})")
    begin = frame(browser)
    for _ in range(20):
        browser.click(button("depth"))
    browser.wait_for(f"Number(document.getElementById('frame').textContent) > {begin + 20}")
    stage.wait_for(20)
    assert stage.choices == [("depth", False), ("depth", True)] * 10
    assert browser.evaluate(f"window.before === document.querySelector({json.dumps(button('depth'))})"), (
        "the button was made anew"
    )


def test_twenty_clicks_on_pause_arrive(browser, stage):
    for _ in range(20):
        browser.click("#pause")
    stage.wait_for(20)
    settle(browser, "#pause", False)
    assert stage.pauses == [True, False] * 10


@pytest.mark.parametrize("key", ["2", "p"])
def test_twenty_keys_of_twenty_arrive(browser, stage, key):
    for _ in range(20):
        browser.press(key)
    stage.wait_for(20)
    settle(browser, "#pause", False)
    name = list(stage.recorded.build.pathways)[1]
    assert stage.choices == ([(name, False), (name, True)] * 10 if key == "2" else [])
    assert stage.pauses == ([True, False] * 10 if key == "p" else [])


@pytest.mark.parametrize("key", ["Enter", " "])
def test_focus_stays_while_frames_come(browser, stage, key):
    browser.press("Tab")
    browser.press("Tab")
    name = list(stage.recorded.build.pathways)[1]
    assert browser.evaluate("document.activeElement.dataset.task") == name
    for _ in range(20):
        browser.press(key)
    stage.wait_for(20)
    settle(browser, button(name), True)
    assert stage.choices == [(name, False), (name, True)] * 10 and stage.pauses == []
    assert browser.evaluate("document.activeElement.dataset.task") == name


def test_keys_can_be_switched_off(browser, stage):
    browser.press("?")
    assert browser.evaluate("document.getElementById('help').open")
    browser.click("#shortcuts")
    browser.press("Escape")
    browser.wait_for("!document.getElementById('help').open")
    browser.evaluate("document.activeElement.blur()")
    for key in "pn1":
        browser.press(key)
    assert stage.pauses == stage.choices == [] and not stage.control.paused


def test_what_a_screen_reader_finds(browser, stage):
    nodes = [node for node in browser.call("Accessibility.getFullAXTree")["nodes"] if not node.get("ignored")]
    found: dict[str, dict] = {}
    for node in nodes:
        if node["role"]["value"] in ("button", "slider", "status", "img"):
            found[node["name"]["value"]] = {"role": node["role"]["value"]} | {
                one["name"]: one["value"].get("value") for one in node.get("properties", [])
            }
    assert set(CONTROLS) <= set(found), "names of buttons hold no hints of keys"
    for name in stage.recorded.build.tasks:
        assert found[name]["role"] in ("button", "img") and f"Enlarge {name}" in found
    assert found["Pause"]["pressed"] == "false" and found["Opacity"]["role"] == "slider"
    assert browser.evaluate("[...document.querySelectorAll('button')].every(b => b.tagName === 'BUTTON' && b.type)")
    assert browser.evaluate("document.getElementById('message').getAttribute('role')") == "status"


def test_pause_stops_at_the_frame_and_next_shows_the_next(browser, stage, recorded):
    browser.press("p")
    settle(browser, "#pause", True)
    browser.wait_for(f"document.getElementById('frame').textContent === '{stage.viewer.state()['frame']}'")
    begin, shown = frame(browser), which_image(browser)
    for step in range(1, 6):
        browser.press("n")
        browser.wait_for(f"Number(document.getElementById('frame').textContent) === {begin + step}")
        assert which_image(browser) == (shown + step) % len(recorded.images)
    assert stage.viewer.state()["frame"] == begin + 5


def which_image(browser: Browser) -> int:
    """Which of the images is shown; the network does not see its corner, which is darkened."""
    return round((pixel(browser, "input", 0, 0)[0] - 0x0B * (1 - DARKENING)) / DARKENING / 60)


def pixel(browser: Browser, name: str, x: int, y: int) -> list[int]:
    place = f"document.querySelector('[data-name={name}] canvas').getContext('2d').getImageData({x}, {y}, 1, 1).data"
    return browser.evaluate(f"[...{place}].slice(0, 3)")


def test_tasks_chosen_in_a_pause_are_shown_at_once(browser, stage):
    browser.press("p")
    settle(browser, "#pause", True)
    begin = stage.viewer.state()["frame"]
    browser.click(button("normals"))
    browser.wait_for("!document.querySelector('[data-name=normals]')")
    browser.click(button("normals"))
    browser.wait_for("document.querySelector('[data-name=normals]')")
    assert stage.viewer.state()["frame"] == begin + 2


def test_the_last_task_cannot_be_switched_off(browser, stage):
    names = list(stage.recorded.build.tasks)
    for name in stage.recorded.build.pathways:
        if stage.control.chosen != (names[-1],) and name in stage.control.chosen and name != names[-1]:
            browser.click(button(name))
            settle(browser, button(name), False)
    browser.click(button(names[-1]))
    browser.wait_for("document.getElementById('message').textContent.includes('the last task')")
    settle(browser, button(names[-1]), True)
    browser.problems.clear()  # the browser logs refusals


def test_save_writes_the_frame(browser, stage, recorded, tmp_path):
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.press("p")
    settle(browser, "#pause", True)
    number = stage.viewer.state()["frame"]
    browser.wait_for(f"document.getElementById('frame').textContent === '{number}'")
    browser.click("#save")
    path = tmp_path / f"{recorded.build.name}-frame-{number}.zip"
    browser.wait_for("document.getElementById('message').textContent.includes('saved')")
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        for name, result in recorded.results[stage.control._shown.image[0, 0, 0] // 60].items():
            assert np.array_equal(np.load(io.BytesIO(archive.read(f"{name}.npy"))), result.decoded)


def test_overlay_lies_where_the_prediction_belongs(browser, stage, recorded):
    browser.press("p")
    settle(browser, "#pause", True)
    browser.wait_for(f"document.getElementById('frame').textContent === '{stage.viewer.state()['frame']}'")
    browser.press("o")
    for _ in range(5):
        browser.press("]", held=0)
    assert browser.evaluate("document.getElementById('opacity').value") == "100"
    image = stage.control._shown.image
    expected = recorded.results[image[0, 0, 0] // 60]["segmentation"].at_image
    data = "document.querySelector('[data-name=segmentation] canvas').getContext('2d').getImageData(0, 0, %d, %d).data"
    pixels = np.array(browser.evaluate(f"[...{data % (WIDTH, HEIGHT)}]")).reshape(HEIGHT, WIDTH, 4)[..., :3]
    inside = ~expected.mask
    assert np.array_equal(pixels[~inside], image[~inside]), "beside what the network saw is the image"
    same = (pixels == class_picture(expected.data)).all(-1)[inside]
    assert same.mean() > 0.95, "but for pixels between two of the prediction's"
    for _ in range(10):
        browser.press("[", held=0)
    assert browser.evaluate("document.getElementById('opacity').value") == "0"
    assert np.array_equal(pixel(browser, "segmentation", WIDTH // 2, HEIGHT // 2), image[HEIGHT // 2, WIDTH // 2])


def test_the_page_goes_on_after_the_server_was_started_again(browser, stage, recorded):
    port = int(stage.viewer.url.rsplit(":", 1)[1].strip("/"))
    stage.close()
    browser.wait_for("document.getElementById('message').textContent.includes('no answer')")
    again = Stage(recorded, port)
    try:
        browser.wait_for("document.getElementById('message').textContent === ''")
        browser.click("#pause")
        again.wait_for(1)
        assert again.pauses == [True]
        settle(browser, "#pause", pressed=True)
        browser.wait_for(f"document.getElementById('frame').textContent === '{again.viewer.state()['frame']}'")
    finally:
        browser.open("about:blank")
        again.close()
    browser.problems.clear()  # the browser logs refused connections


def test_the_page_needs_no_network(browser, stage):
    names = browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert names and all(name.startswith(stage.viewer.url) for name in names)


def test_figures_and_legends(browser, stage):
    text = browser.evaluate("document.body.innerText")
    assert f"{stage.recorded.build.name} on the recording" in text and "frames/s" in text and " ms" in text
    assert browser.evaluate("document.querySelector('[data-name=depth] .marks').innerText").count(" m") == 3
    labels = browser.evaluate(
        "[...document.querySelectorAll('[data-name=segmentation] .legend .text')].map(e => e.textContent)"
    )
    assert labels == list(stage.recorded.build.tasks["segmentation"].class_names)
    swatches = "[...document.querySelectorAll('[data-name=segmentation] .swatch')].map(e => getComputedStyle(e).backgroundColor)"
    assert len(set(browser.evaluate(swatches))) == len(labels)


@pytest.mark.parametrize("over", [False, True], ids=["apart", "overlay"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(browser, layout, over):
    width, height, phone = LAYOUTS[layout]
    browser.resize(width, height, phone)
    if over:
        browser.click("#overlay", held=0)
        settle(browser, "#overlay", True)
    count = browser.evaluate("document.querySelectorAll('canvas').length")
    browser.wait_for(f"window.innerWidth === {width} && document.querySelectorAll('canvas').length === {count}")
    browser.evaluate("new Promise(resolve => setTimeout(resolve, 300))")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width, "scrolls sideways"
    shown = "[...document.querySelectorAll('header, #tasks, #steering, figure')].map(e => e.getBoundingClientRect().toJSON())"
    boxes = browser.evaluate(shown)
    controls = "[...document.querySelectorAll('#controls button, #controls label')].filter(e => e.offsetWidth)"
    pressed = browser.evaluate(f"{controls}.map(e => e.getBoundingClientRect().toJSON())")
    for group in (boxes, pressed):
        for index, one in enumerate(group):
            assert one["width"] > 0 and one["left"] >= 0 and one["right"] <= width + 0.5
            for other in group[index + 1 :]:
                apart = one["right"] <= other["left"] + 0.5 or other["right"] <= one["left"] + 0.5
                assert apart or one["bottom"] <= other["top"] + 0.5 or other["bottom"] <= one["top"] + 0.5
    figures = boxes[3:]
    assert max(b["right"] for b in figures) - min(b["left"] for b in figures) >= 0.9 * width
    if not phone:
        assert max(b["bottom"] for b in figures) <= height, "all pictures are seen at once"
        assert max(b["bottom"] for b in figures) >= 0.8 * height or over or layout != "wide"
    else:
        assert all(one["height"] >= 30 for one in pressed), "fingers need room"


def test_an_enlarged_panel_is_the_largest(browser):
    browser.resize(1920, 1080)
    browser.evaluate("new Promise(resolve => setTimeout(resolve, 300))")
    browser.click("[data-name=normals] .enlarge")
    settle(browser, "[data-name=normals] .enlarge", True)
    drawn = "Math.min(c.clientWidth, c.clientHeight * c.width / c.height)"
    canvases = "[...document.querySelectorAll('figure')].map(f => [f.dataset.name, f.querySelector('canvas')])"
    sizes = browser.evaluate(f"Object.fromEntries({canvases}.map(([name, c]) => [name, {drawn}]))")
    assert max(sizes, key=sizes.__getitem__) == "normals" and sizes["normals"] > 1.5 * sizes["depth"]
