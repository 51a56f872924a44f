"""The page's server: what it shows, what steers it, and what it refuses. How it looks and feels is test_viewer_page.py's."""

import http.client
import io
import json
import re
import socket
import struct
import threading
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest

import moesaic
from moesaic.errors import UserError
from moesaic.host.commands.watch import watch
from moesaic.host.png import decode_png, encode_png
from moesaic.host.prediction_pictures import CLASS_COLOURS
from moesaic.host.viewer import Viewer
from moesaic.host.viewer.shown_frame import INPUT
from moesaic.host.viewer.stream_control import StreamControl

SERVER = "moesaic.host.viewer.http_server"


@pytest.fixture
def accelerator(saved_build):
    with moesaic.open(saved_build, "emulator") as accelerator:
        yield accelerator


@pytest.fixture
def viewer(build):
    with serve(build) as viewer:
        yield viewer


def serve(build, address: str = "127.0.0.1", port: int = 0, hosts=()) -> Viewer:
    return Viewer(build, "emulator", StreamControl(build, list(build.tasks)), address, port, hosts)


def get(viewer: Viewer, path: str) -> bytes:
    with urllib.request.urlopen(viewer.url + path, timeout=20) as answer:
        return answer.read()


def frame(viewer: Viewer, query: str = "") -> tuple[dict, dict[str, np.ndarray]]:
    """The newest frame as a browser gets it: state and pictures."""
    content = get(viewer, f"frame{query}")
    begin = 4 + struct.unpack_from("<I", content)[0]
    state, pictures = json.loads(content[4:begin]), {}
    for entry in state["pictures"]:
        pictures[entry["name"]] = decode_png(content[begin : begin + entry["bytes"]])
        begin += entry["bytes"]
    assert begin == len(content)
    return state, pictures


def ask(viewer: Viewer, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
    """Status and text of an answer; header names with _ for -."""
    host, port = viewer.url.split("/")[2].rsplit(":", 1)
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, named)
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


def post(viewer: Viewer, path: str, content: bytes, **headers: str) -> int:
    return ask(viewer, "POST", path, content, **{"Content_Type": "application/json", **headers})[0]


def frames(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    return [rng.integers(0, 256, (40, 48, 3)).astype(np.uint8) for _ in range(count)]


def test_pictures_on_the_page_are_those_of_single_runs(accelerator, viewer, build):
    pictures = frames(3)
    for index, picture in enumerate(pictures):
        assert watch_one(accelerator, viewer, picture) == 1
        state, shown = frame(viewer)
        assert state["frame"] == index and [panel["name"] for panel in state["panels"]] == list(build.tasks)
        assert list(shown) == [INPUT, *build.tasks] and np.array_equal(shown[INPUT], picture)
        for task in build.tasks:
            result = accelerator.run(picture, task)
            assert np.array_equal(shown[task], result.picture)
        top, left, height, width = result.placement.seen
        assert state["seen"] == [top / 40, left / 48, height / 40, width / 48] and state["image"] == [40, 48]


def watch_one(accelerator, viewer: Viewer, picture: np.ndarray) -> int:
    viewer.control = StreamControl(accelerator.build, viewer.control.chosen)
    return watch(accelerator, [picture], viewer)


def test_large_images_are_shown_smaller(accelerator, viewer):
    picture = np.zeros((30, 2000, 3), np.uint8)
    watch(accelerator, [picture], viewer)
    state, shown = frame(viewer)
    assert shown[INPUT].shape == (14, 960, 3) and state["image"] == [30, 2000]


def test_legend_names_the_classes_that_are_there(accelerator, viewer, build):
    watch(accelerator, frames(1), viewer)
    decoded = accelerator.run(frames(1)[0], "segmentation").decoded
    (panel,) = [panel for panel in viewer.state()["panels"] if panel["name"] == "segmentation"]
    names = build.tasks["segmentation"].class_names
    entries = panel["legend"]["entries"]
    assert [entry["text"] for entry in entries] == list(names)
    assert [entry["colour"] for entry in entries] == [
        "#" + bytes(c.tolist()).hex() for c in CLASS_COLOURS[: len(names)]
    ]
    assert [entry["share"] for entry in entries] == [np.mean(decoded == c) for c in range(len(names))]


def test_legend_of_depth_has_its_metres(accelerator, viewer):
    watch(accelerator, frames(1), viewer)
    depth = accelerator.run(frames(1)[0], "depth").decoded.astype(float)
    (panel,) = [panel for panel in viewer.state()["panels"] if panel["name"] == "depth"]
    low, high = max(depth.min(), 0.01), max(depth.max(), 0.01)
    assert panel["legend"]["marks"] == [f"{low:.2f} m", f"{np.sqrt(low * high):.2f} m", f"{high:.2f} m"]


def test_choice_takes_effect_on_the_next_frame(accelerator, viewer):
    def source():
        yield from frames(2)
        for task in (b"normals", b"segmentation"):
            assert post(viewer, "/choice", b'{"task": "%s", "chosen": false}' % task) == 200
        yield from frames(2)

    watch(accelerator, source(), viewer)
    assert viewer.control.chosen == ("depth",)
    state = viewer.state()
    assert [panel["name"] for panel in state["panels"]] == ["depth"] and state["chosen"] == ["depth"]


def test_a_frame_is_saved_whole(accelerator, viewer, build):
    watch(accelerator, frames(1), viewer)
    with zipfile.ZipFile(io.BytesIO(get(viewer, "save?frame=0"))) as archive:
        names = set(archive.namelist())
        assert np.array_equal(decode_png(archive.read("original.png")), frames(1)[0])
        figures = json.loads(archive.read("frame.json"))
        for task in build.tasks:
            result = accelerator.run(frames(1)[0], task)
            found = np.load(io.BytesIO(archive.read(f"{task}.npy")))
            assert found.dtype == result.decoded.dtype and np.array_equal(found, result.decoded)
            assert np.array_equal(decode_png(archive.read(f"{task}.png")), result.picture)
    assert np.array_equal(decode_png(get_from_archive(viewer, "input.png")), result.image)
    assert names == {"original.png", "input.png", "frame.json"} | {
        f"{t}.{e}" for t in build.tasks for e in ("png", "npy")
    }
    assert tuple(figures["seen"].values()) == result.placement.seen and figures["build"] == build.name


def get_from_archive(viewer: Viewer, name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(get(viewer, "save?frame=0"))) as archive:
        return archive.read(name)


def test_old_frames_are_forgotten(accelerator, viewer):
    watch(accelerator, (frames(1)[0] for _ in range(40)), viewer)
    assert viewer.state()["frame"] == 39
    get(viewer, "save?frame=39")
    assert viewer.picture(39, "depth") is not None and viewer.picture(9, "depth") is None
    status, text = ask(viewer, "GET", "/save?frame=9")
    assert status == 404 and "frame 9 is no longer kept" in text


def test_frames_that_nobody_watches_are_not_drawn(accelerator, viewer, monkeypatch):
    drawn = []
    monkeypatch.setattr("moesaic.host.viewer.shown_frame.encode_png", lambda *a: drawn.append(a) or encode_png(*a))
    watch(accelerator, frames(3), viewer)
    assert not drawn
    for _ in range(3):
        frame(viewer)
    assert len(drawn) == 4, "three tasks and the input, once for all who ask"


# --- steering ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def control(build) -> StreamControl:
    return StreamControl(build, ["depth", "normals"])


def take(drawing: Iterator[np.ndarray], count: int) -> list[int]:
    """The next frames, which are told apart by their first value."""
    return [int(next(drawing)[0, 0, 0]) for _ in range(count)]


def numbered(count: int) -> list[np.ndarray]:
    return [np.full((1, 1, 3), n, np.uint8) for n in range(count)]


def test_a_pause_takes_back_what_is_on_its_way(control):
    drawing = control.frames(numbered(6))
    assert take(drawing, 4) == [0, 1, 2, 3]
    assert control.settle(0).image[0, 0, 0] == 0
    control.pause(True)
    assert [control.settle(index) for index in (1, 2, 3)] == [None] * 3
    control.step()
    assert take(drawing, 1) == [1] and control.settle(4).image[0, 0, 0] == 1
    control.pause(False)
    assert take(drawing, 4) == [2, 3, 4, 5]


def test_a_step_pauses(control):
    drawing = control.frames(numbered(6))
    take(drawing, 3)
    control.settle(0)
    control.step()
    assert control.paused and control.settle(1) is None and take(drawing, 1) == [1]
    control.step()
    control.step()
    assert take(drawing, 2) == [2, 3], "steps add up"


def test_tasks_chosen_in_a_pause_run_on_what_is_shown(control):
    drawing = control.frames(numbered(6))
    take(drawing, 2)
    control.settle(0)
    control.pause(True)
    control.choose("normals", False)
    assert take(drawing, 1) == [0] and control.chosen == ("depth",)
    control.settle(2)
    control.step()
    assert take(drawing, 1) == [1]
    control.choose("segmentation", True)
    assert control.settle(3) is None and take(drawing, 1) == [1], "the frame on its way, and not the one before it"


def test_a_choice_that_changes_nothing_runs_nothing_again(control):
    drawing = control.frames(numbered(3))
    take(drawing, 1)
    control.settle(0)
    control.pause(True)
    revision = control.revision
    control.choose("depth", True)
    control.pause(True)
    assert control.revision == revision
    control.step()
    assert take(drawing, 1) == [1]


def test_a_live_source_goes_on_in_a_pause(build):
    control = StreamControl(build, ["depth"], live=True)
    position = []

    def camera():
        for image in numbered(200):
            position.append(int(image[0, 0, 0]))
            if position[-1] == 50:
                control.step()
            yield image

    drawing = control.frames(camera())
    assert take(drawing, 3) == [0, 1, 2]
    control.settle(0)
    control.pause(True)
    assert take(drawing, 1) == [50], "the newest"
    control.pause(False)
    assert take(drawing, 2) == [51, 52]


def test_the_rate_does_not_hold_up_a_step(build):
    control = StreamControl(build, ["depth"], rate=1e-6)
    drawing = control.frames(numbered(3))
    assert take(drawing, 1) == [0]
    control.settle(0)
    control.step()
    assert take(drawing, 1) == [1]


def test_frames_come_at_the_rate(build, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("moesaic.host.viewer.stream_control.time.monotonic", lambda: clock[0])
    control, due = StreamControl(build, ["depth"], rate=2), []
    monkeypatch.setattr(control._changed, "wait", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    for _ in control.frames(numbered(4)):
        due.append(clock[0])
        control.settle(len(due) - 1)
        clock[0] += 0.1
    assert due == pytest.approx([0.0, 0.5, 1.0, 1.5])


def test_a_live_stream_counts_what_it_drops(accelerator, build):
    control = StreamControl(build, ["depth"], live=True)
    with Viewer(build, "emulator", control, "127.0.0.1", 0) as viewer:
        shown = watch(accelerator, frames(12), viewer)
        state, pictures = frame(viewer)
    assert shown + state["dropped"] == 12 and np.array_equal(pictures[INPUT], frames(12)[-1])


def test_frames_taken_back_at_the_end_still_come(control):
    drawing = control.frames(numbered(2))
    take(drawing, 2)
    control.settle(0)
    control.step()
    assert take(drawing, 1) == [1]
    control.settle(2)
    control.pause(False)
    assert list(drawing) == []


def test_closing_ends_a_source_that_waits(control):
    control.pause(True)
    thread = threading.Thread(target=list, args=(control.frames(numbered(2)),))
    thread.start()
    control.close()
    thread.join(20)
    assert not thread.is_alive()


def test_the_last_task_stays(control):
    control.choose("normals", False)
    with pytest.raises(UserError, match="depth is the last task that is shown; choose another one first"):
        control.choose("depth", False)
    with pytest.raises(UserError, match="pose"):
        control.choose("pose", True)
    assert control.chosen == ("depth",)


def test_pause_and_step_by_request(viewer):
    assert post(viewer, "/pause", b'{"paused": true}') == 200 and viewer.control.paused
    assert post(viewer, "/pause", b'{"paused": false}') == 200 and not viewer.control.paused
    assert post(viewer, "/step", b"{}") == 200 and viewer.control.paused


# --- requests ---------------------------------------------------------------------------------------------------------

CHOICE = b'{"task": "depth", "chosen": false}'


@pytest.mark.parametrize(
    ("path", "content", "headers", "code"),
    [
        ("/choice", b'{"task": "pose", "chosen": true}', {}, 400),
        ("/choice", b'{"task": "depth"}', {}, 400),
        ("/choice", b'{"task": "depth", "chosen": 0}', {}, 400),
        ("/choice", b'{"task": "depth", "chosen": false, "more": 1}', {}, 400),
        ("/choice", b'["depth"]', {}, 400),
        ("/choice", b"rubbish", {}, 400),
        ("/choice", b"\xff\xfe", {}, 400),
        ("/choice", b"[" * 4000, {}, 400),
        ("/choice", b'{"a":' * 600 + b"1" + b"}" * 600, {}, 400),
        ("/step", b"1" * 4000, {}, 400),
        ("/pause", b'{"paused": null}', {}, 400),
        ("/choice", CHOICE, {"Content_Type": "text/plain"}, 415),
        ("/choice", CHOICE, {"Content_Type": "application/x-www-form-urlencoded"}, 415),
        ("/elsewhere", CHOICE, {}, 404),
        ("/choice", b'"' + b"x" * 5_000 + b'"', {}, 413),
        ("/choice", CHOICE, {"Origin": "http://example.org"}, 403),
        ("/choice", CHOICE, {"Origin": "null"}, 403),
        ("/choice", CHOICE, {"Sec_Fetch_Site": "cross-site"}, 403),
        ("/choice", CHOICE, {"Sec_Fetch_Site": "same-site"}, 403),
        ("/choice", CHOICE, {"Host": "example.org"}, 403),
    ],
)
def test_a_wrong_request_changes_nothing(viewer, build, capsys, path, content, headers, code):
    revision = viewer.control.revision
    assert post(viewer, path, content, **headers) == code
    assert viewer.control.revision == revision and viewer.control.chosen == tuple(build.tasks)
    assert capsys.readouterr() == ("", ""), "no traceback"


def test_the_page_itself_may_choose(viewer):
    origin = viewer.url.rstrip("/")
    assert post(viewer, "/choice", CHOICE, Origin=origin, Sec_Fetch_Site="same-origin") == 200
    assert "depth" not in viewer.control.chosen


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", 200), ("127.0.0.1:8000", 200), ("localhost", 200), ("LOCALHOST:1", 200), ("localhost.", 200), ("[::1]:8000", 200),
        ("given.example", 200), ("Given.Example:99", 200), (socket.gethostname(), 200),
        ("example.org", 403), ("127.0.0.1.example.org", 403), ("192.0.2.1", 403), ("[2001:db8::1]", 403), ("0.0.0.0", 403),
        ("localhost@example.org", 403), ("", 403), ("x" * 5000, 403), ("[::1", 403), ("localhost:99999999", 403),
    ],
)  # fmt: skip
def test_hosts(build, host, code):
    """DNS rebinding: a page of another name that is made to point here gets nothing."""
    with serve(build, hosts=["given.example"]) as viewer:
        for path in ("/", "/page.js", "/frame?after=-2"):
            status, text = ask(viewer, "GET", path, Host=host)
            assert status == (code if code == 403 or path != "/frame?after=-2" else 200)
            assert code == 200 or "--allow-host" in text


@pytest.mark.parametrize("line", ["GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost"])
def test_a_host_is_named_once(viewer, line):
    assert raw(viewer, f"{line}\r\n\r\n".encode()).startswith(b"HTTP/1.1 400 ")


def raw(viewer: Viewer, content: bytes) -> bytes:
    """All that comes back, to the end of the connection."""
    host, port = viewer.url.split("/")[2].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(content)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        (b"GET /" + b"x" * 70_000, b""),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 90 + b"X: " + b"z" * 20_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"HTTP/1.1 431 "),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 400 "),
        (b"POST /step HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\r\n{}", b"HTTP/1.1 400 "),
        (
            b"POST /step HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n{}",
            b"HTTP/1.1 411 ",
        ),
        (b"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 501 "),
        (b"rubbish\r\n\r\n", b"HTTP/1.1 400 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HTTP/1.1 400 "),
    ],
    ids=["line", "heads", "many heads", "GET with a body", "no length", "chunked", "method", "rubbish", "TLS"],
)
def test_requests_that_no_browser_sends(viewer, capsys, content, answer):
    try:
        found = raw(viewer, content)
    except ConnectionError:  # closed while the request was still being sent
        found = b""
    assert found.startswith(answer) or (not found and len(content) > 20_000)
    assert not viewer.control.paused and capsys.readouterr() == ("", "")
    assert get(viewer, "page.css")


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/save?frame=0",
        "/../build.json",
        "/%2e%2e/viewer.py",
        "/viewer.py",
        "//etc/passwd",
        "/page.js/",
        "/page.html",
    ],
)
def test_other_pages_do_not_exist(viewer, path):
    assert ask(viewer, "GET", path)[0] == 404


@pytest.mark.parametrize(
    "query", ["frame=x", "frame=", "", "frame=" + "9" * 400, "frame=1.5", "frame=-5", "&" * 50, "frame=٣"]
)
def test_numbers_that_are_none(viewer, query):
    assert ask(viewer, "GET", "/save?" + urllib.parse.quote(query, safe="=&"))[0] == 400


def test_answers_forbid_what_the_page_does_not_need(viewer):
    for path in ("", "page.js", "frame"):
        with urllib.request.urlopen(viewer.url + path, timeout=20) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "Python" not in answer.headers["Server"]


def test_a_request_that_dribbles_in_is_ended(build, monkeypatch):
    monkeypatch.setattr(f"{SERVER}.REQUEST_SECONDS", 0.5)
    with serve(build) as viewer:
        host, port = viewer.url.split("/")[2].rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=0.1) as connection, pytest.raises(ConnectionError):
            for byte in iter(lambda: b"GET / HTTP/1.1\r\nX: " + b"y" * 1000, None):
                for one in byte:
                    connection.sendall(bytes([one]))
                    try:
                        if connection.recv(1) == b"":
                            raise ConnectionResetError
                    except TimeoutError:
                        pass


def test_connections_are_counted(build, monkeypatch):
    monkeypatch.setattr(f"{SERVER}.MOST_CONNECTIONS", 3)
    with serve(build) as viewer:
        host, port = viewer.url.split("/")[2].rsplit(":", 1)
        held = [socket.create_connection((host, int(port)), timeout=20) for _ in range(3)]
        assert raw(viewer, b"").startswith(b"HTTP/1.1 503 ")
        for connection in held:
            connection.close()
        while b" 200 " not in raw(viewer, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")[:20]:
            pass  # the threads of the others are still ending


def test_a_browser_that_does_not_read_holds_up_nobody(accelerator, viewer):
    """Nor does one that waits for a frame that does not come."""
    picture = np.random.default_rng(1).integers(0, 256, (900, 900, 3)).astype(np.uint8)
    watch(accelerator, [picture], viewer)
    host, port = viewer.url.split("/")[2].rsplit(":", 1)
    stuck = []
    for _ in range(4):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((host, int(port)))
        connection.sendall(b"GET /frame HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
        stuck.append(connection)
    viewer.control = StreamControl(accelerator.build, ["depth"])
    assert watch(accelerator, frames(5), viewer) == 5
    assert frame(viewer)[0]["frame"] == 5
    for connection in stuck:
        connection.close()


def test_a_browser_waits_for_what_it_has_not_seen(accelerator, viewer):
    watch(accelerator, frames(1), viewer)
    state, _ = frame(viewer)
    query = f"?server={state['server']}&after={state['frame']}&revision={state['revision']}"
    found = []
    thread = threading.Thread(target=lambda: found.append(frame(viewer, query)))
    thread.start()
    assert post(viewer, "/pause", b'{"paused": true}') == 200
    thread.join(20)
    assert found[0][0]["paused"] and not found[0][1], "the control has changed, the frame has not"
    assert frame(viewer, "?server=another&after=99&revision=99")[1], "a page that knew an earlier server"


# --- addresses --------------------------------------------------------------------------------------------------------


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as trial:
            trial.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6: sysctl net.ipv6.conf.lo.disable_ipv6=0, then this test")
def test_ipv6(build):
    with serve(build, "::1") as viewer:
        assert re.fullmatch(r"http://\[::1\]:\d+/", viewer.url)
        assert b"<title>" in get(viewer, "") and post(viewer, "/step", b"{}", Origin=viewer.url.rstrip("/")) == 200
        assert ask(viewer, "GET", "/", Host="[::2]")[0] == 403
    with serve(build, "::") as viewer:
        port = viewer.url.rsplit(":", 1)[1].strip("/")
        for host in ("[::1]", "127.0.0.1"):
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=20) as answer:
                assert answer.status == 200


def test_all_addresses(build):
    with serve(build, "0.0.0.0") as viewer:
        assert viewer.url.startswith("http://127.0.0.1:") and b"<title>" in get(viewer, "")


def test_a_port_that_is_taken(viewer, build):
    port = int(viewer.url.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(UserError, match=f"port {port} .*in use.*--port"):
        serve(build, port=port)


@pytest.mark.parametrize("address", ["192.0.2.1", "no.such.host.invalid", "2001:db8::1", "1:2", "x" * 64])
def test_an_address_that_is_not_this_machines(build, address):
    """Refused by the system, not found, no address at all."""
    with pytest.raises(UserError, match=f"address '{re.escape(address)}'.*--address") as caught:
        serve(build, address)
    assert "--port" not in str(caught.value)


def test_closing_twice(viewer):
    viewer.close()
    viewer.close()


# --- the command ------------------------------------------------------------------------------------------------------


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
    assert code == 2 and "b.png cannot be taken" in err and err.count("\n") == 1
    assert board.buffers == []


def test_watch_without_opencv(run_moesaic, saved_build, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    code, _, err = run_moesaic("watch", saved_build, "0")
    assert code == 2 and "OpenCV is missing" in err
