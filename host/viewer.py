"""A page that shows what the tasks say about the frames of a stream, served to a browser by Python's own HTTP server.

The page keeps asking for the state; when that reports a new frame, the page loads the frame's pictures and shows them together. Its
buttons choose the tasks and pathways for the frames to come.
"""

from __future__ import annotations

import errno
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote

import numpy as np

from moesaic.errors import UserError
from moesaic.host.png import encode_png
from moesaic.host.prediction_pictures import CLASS_COLOURS, class_colour
from moesaic.host.result import Result
from moesaic.spec.build import Build
from moesaic.spec.heads import CLASSIFICATION, FEATURES
from moesaic.spec.pathway_names import pathway_name

PAGE = Path(__file__).with_name("viewer.html")
INPUT = "input"
_KEPT_FRAMES = 30
_LARGEST_REQUEST = 10_000
_COMPRESSION = 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a browser that goes away in the middle of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Viewer:
    """The server, from construction to close(). names: the pathways chosen at first.

    executor_name: as the page shows it. address, port: where the server listens; port is 0 to 65535, and 0 takes a free one, see
    `url`. UserError if it cannot listen there.
    """

    def __init__(self, build: Build, executor_name: str, names: Sequence[str], address: str, port: int) -> None:
        self._build, self._executor_name = build, executor_name
        self._lock = threading.Lock()
        self._chosen = tuple(names)
        self._frames: dict[int, dict[str, bytes]] = {}
        self._newest = -1
        self._panels: list[dict] = []
        self._shown: deque[float] = deque(maxlen=30)
        try:
            self._server = _Server((address, port), _handler(self))
        except (OSError, UnicodeError) as error:
            port_is_wrong = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
            option = "port with --port" if port_is_wrong else "address, one of this machine's, with --address"
            raise UserError(
                f"the page cannot be served at address {address!r}, port {port} "
                f"({getattr(error, 'strerror', None) or error}); name another {option}"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="moesaic-page", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Address of the page."""
        address, port = self._server.server_address[:2]
        return f"http://{address}:{port}/"

    @property
    def chosen(self) -> tuple[str, ...]:
        """The pathways on which the next frame is to be run."""
        return self._chosen

    def choose(self, names: Sequence[str]) -> None:
        """Choose the pathways for the frames to come. UserError unless there is at least one and the build has them all."""
        if not names:
            raise UserError(f"0 tasks chosen; build {self._build.name} has {', '.join(self._build.pathways)}")
        for name in names:
            self._build.task(name)
        self._chosen = tuple(dict.fromkeys(names))

    def show(self, results: Sequence[Result]) -> None:
        """Put a frame on the page. results: at least one, all of the same frame, in the order of the panels."""
        pictures = {INPUT: encode_png(results[0].image, _COMPRESSION)}
        pictures |= {_name(result): encode_png(result.picture, _COMPRESSION) for result in results}
        panels = [self._panel(result) for result in results]
        with self._lock:
            self._newest += 1
            self._frames[self._newest] = pictures
            self._frames.pop(self._newest - _KEPT_FRAMES, None)
            self._panels = panels
            self._shown.append(time.monotonic())

    def _panel(self, result: Result) -> dict:
        return {
            "name": _name(result),
            "kind": result.kind,
            "cycles": result.counters.get("cycles"),
            "milliseconds": 1e3 * result.seconds["compute"],
            "legend": self._legend(result),
        }

    def _legend(self, result: Result) -> list[dict]:
        """Colours and their meaning: the classes in the picture, largest or most probable first, or the ends of the scale."""
        if result.kind in ("segmentation", "parts"):
            names = self._build.task(result.task).class_names
            counts = np.bincount(result.decoded.reshape(-1), minlength=1)
            found = [int(index) for index in np.argsort(-counts, kind="stable") if counts[index]]
            return [
                {"colour": _css(CLASS_COLOURS[index]), "text": names[index] if index < len(names) else f"class {index}"}
                for index in found
            ]
        if result.kind == "depth":
            nearest, farthest = float(result.decoded.min()), float(result.decoded.max())
            return [{"text": f"bright {nearest:.2f} m, dark {farthest:.2f} m"}]
        if result.kind == "normals":
            return [{"text": "red to the right, green upwards, blue towards the viewer"}]
        if result.kind == CLASSIFICATION:
            return [
                {"colour": _css(class_colour(best.index)), "text": f"{best.label} {100 * best.probability:.1f} %"}
                for best in result.top()
            ]
        if result.kind == FEATURES:
            rows, columns = result.grid
            return [{"text": f"first three principal components of {rows} x {columns} patches"}]
        return [{"text": f"mean probability {float(result.decoded.mean()):.2f}"}]

    def state(self) -> dict:
        """What the page shows, as JSON values; "frame" is -1 before the first frame, "rate" is in frames per second."""
        with self._lock:
            times = tuple(self._shown)
            rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None
            return {
                "frame": self._newest,
                "build": self._build.name,
                "executor": self._executor_name,
                "rate": rate,
                "known": list(self._build.pathways),
                "chosen": list(self._chosen),
                "panels": self._panels,
                "input": INPUT,
            }

    def picture(self, frame: int, name: str) -> bytes | None:
        """The PNG file of a picture of one of the newest frames, or None if it is gone or unknown."""
        with self._lock:
            return self._frames.get(frame, {}).get(name)

    def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _name(result: Result) -> str:
    return pathway_name(result.task, result.pathway)


def _css(colour: np.ndarray) -> str:
    return "#" + bytes(colour.tolist()).hex()


def _handler(viewer: Viewer) -> type[BaseHTTPRequestHandler]:
    """The answers to requests: /, /state, /picture/N/NAME, and POST /choice with a JSON list of names."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            words = [unquote(word) for word in self.path.strip("/").split("/")]
            if words == [""]:
                self._answer(PAGE.read_bytes(), "text/html; charset=utf-8")
            elif words == ["state"]:
                self._answer(json.dumps(viewer.state()).encode(), "application/json")
            elif len(words) == 3 and words[0] == "picture" and words[1].isdecimal():
                content = viewer.picture(int(words[1]), words[2])
                if content is None:
                    self._refuse(HTTPStatus.NOT_FOUND, "this frame is gone")
                else:
                    self._answer(content, "image/png")
            else:
                self._refuse(HTTPStatus.NOT_FOUND, "no such page")

        def do_POST(self) -> None:
            # A page from another origin cannot send this type without asking first, and it is refused.
            length = self.headers.get("Content-Length", "")
            if self.headers.get_content_type() != "application/json" or not length.isdecimal():
                self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a choice is application/json")
                return
            if self.path != "/choice" or int(length) > _LARGEST_REQUEST:
                self._refuse(HTTPStatus.NOT_FOUND, "no such page")
                return
            try:
                names = json.loads(self.rfile.read(int(length)))
                if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                    raise ValueError
                viewer.choose(names)
            except UserError as error:
                self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            except ValueError:
                self._refuse(HTTPStatus.BAD_REQUEST, "a choice is a list of names")
            else:
                self._answer(b"{}", "application/json")

        def _answer(self, content: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def _refuse(self, status: HTTPStatus, why: str) -> None:
            self.close_connection = True  # a body may be left unread
            self._answer(why.encode(), "text/plain; charset=utf-8", status)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the name that the base class has
            """Nothing: the terminal is for the command."""

    return Handler
