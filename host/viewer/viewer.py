"""A page that shows what the tasks say about the frames of a stream, for any number of browsers at a time.

Each browser asks for the next frame when it has shown one, and gets the newest: a slow one sees fewer frames and holds up nobody.
"""

from __future__ import annotations

import errno
import json
import secrets
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from moesaic.errors import UserError
from moesaic.host.result import Result
from moesaic.host.viewer.http_server import Answer, HttpServer, RefusedRequest
from moesaic.host.viewer.shown_frame import ShownFrame
from moesaic.host.viewer.stream_control import StreamControl
from moesaic.spec.build import Build

PAGE = Path(__file__).parent
_PAGE_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_KEPT_FRAMES, _KEPT_BYTES = 30, 64 << 20
_WAIT_SECONDS = 5.0
"""How long a browser waits for the next frame before it is told that there is none yet."""


class Viewer:
    """The server, from construction to close().

    executor_name: as the page shows it. control: steers the stream whose frames are shown. address, port: where the server listens; an
    IPv4 or IPv6 address, and a port from 0 to 65535, where 0 takes a free one, see `url`. hosts: names for this machine that browsers
    may use, beside its addresses, localhost and its host name. UserError if it cannot listen there.
    """

    def __init__(
        self,
        build: Build,
        executor_name: str,
        control: StreamControl,
        address: str,
        port: int,
        hosts: Sequence[str] = (),
    ) -> None:
        self.control = control
        self._build, self._executor_name = build, executor_name
        self._identity = secrets.token_hex(8)  # by which a page notices that the server was started again
        self._changed = threading.Condition()
        self._frames: dict[int, ShownFrame] = {}
        self._newest = -1
        self._dropped: int | None = None
        self._shown: deque[float] = deque(maxlen=30)
        self._closed = False
        self._files = {path: Answer([(PAGE / name).read_bytes()], kind) for path, (name, kind) in _PAGE_FILES.items()}
        try:
            self._server = HttpServer(address, port, hosts, self._get, self._post)
        except (OSError, UnicodeError) as error:
            port_is_wrong = isinstance(error, OSError) and error.errno in (errno.EADDRINUSE, errno.EACCES)
            option = "port with --port" if port_is_wrong else "address, one of this machine's, with --address"
            raise UserError(
                f"the page cannot be served at address {address!r}, port {port} "
                f"({getattr(error, 'strerror', None) or error}); name another {option}"
            ) from None
        self._server.start()

    @property
    def url(self) -> str:
        """Address of the page, for a browser on this machine."""
        return self._server.url

    def show(self, results: Sequence[Result], image: np.ndarray, age: float, dropped: int | None = None) -> None:
        """Put a frame on the page.

        results: at least one, all of the same frame, in the order of the panels. image: the frame as its source gave it, uint8 (height,
        width, 3), RGB. age: seconds from its source to its results. dropped: frames that the stream has dropped so far, None where it
        drops none.
        """
        frame = ShownFrame(self._build, results, image, age)
        with self._changed:
            self._newest += 1
            self._frames[self._newest] = frame
            held = sum(kept.bytes_held for kept in self._frames.values())
            while len(self._frames) > 1 and (len(self._frames) > _KEPT_FRAMES or held > _KEPT_BYTES):
                held -= self._frames.pop(next(iter(self._frames))).bytes_held
            self._dropped = dropped
            self._shown.append(time.monotonic())
            self._changed.notify_all()

    def state(self) -> dict:
        """What there is to show, as JSON values.

        "frame" is -1 before the first frame, "rate" in frames per second, "age" in seconds. "seen" is (top, left, height, width) of
        what the network sees, in shares of the image.
        """
        with self._changed:
            number, frame = self._newest, self._frames.get(self._newest)
            about = self._about(number)
        return about | (frame.content[0] if frame is not None else {"panels": []})

    def _about(self, number: int) -> dict:
        times = tuple(self._shown)
        rate = (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 and times[-1] > times[0] else None
        return {
            "server": self._identity,
            "build": self._build.name,
            "executor": self._executor_name,
            "tasks": list(self._build.pathways),
            "frame": number,
            "rate": rate,
            "dropped": self._dropped,
            **self._steering(),
        }

    def _steering(self) -> dict:
        control = self.control
        return {"revision": control.revision, "chosen": list(control.chosen), "paused": control.paused}

    def picture(self, frame: int, name: str) -> bytes | None:
        """The PNG file of a picture of one of the newest frames: a pathway's or INPUT's; None if it is gone or unknown."""
        with self._changed:
            found = self._frames.get(frame)
        return found.content[1].get(name) if found is not None else None

    def close(self) -> None:
        """Stop serving. Closing twice is harmless."""
        self.control.close()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._server.close()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _get(self, path: str, query: dict[str, str]) -> Answer:
        """The page's files; /frame?server=&after=&revision=, what is new; and /save?frame=, an archive of a frame."""
        if path in self._files:
            return self._files[path]
        if path == "/frame":
            known = query.get("server") == self._identity
            return self._frame(*(_number(query, name) if known else -1 for name in ("after", "revision")))
        if path == "/save":
            return self._save(_number(query, "frame"))
        raise RefusedRequest(HTTPStatus.NOT_FOUND, "no such page")

    def _frame(self, after: int, revision: int) -> Answer:
        """Wait for a frame after that number, or another revision of the control: its length as a little-endian uint32, JSON, then the
        PNG files that the JSON lists with their lengths; none if there is no later frame.
        """
        until = time.monotonic() + _WAIT_SECONDS
        with self._changed:
            while self._newest <= after and self.control.revision == revision and not self._closed:
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            number, frame = self._newest, self._frames.get(self._newest)
            about = self._about(number)
        figures, pictures = frame.content if frame is not None and number > after else ({}, {})
        listed = [{"name": name, "bytes": len(content)} for name, content in pictures.items()]
        head = json.dumps({**about, **figures, "pictures": listed}).encode()
        return Answer([struct.pack("<I", len(head)), head, *pictures.values()], "application/octet-stream")

    def _save(self, number: int) -> Answer:
        with self._changed:
            frame, about = self._frames.get(number), self._about(number)
        if frame is None:
            raise RefusedRequest(HTTPStatus.NOT_FOUND, f"frame {number} is no longer kept; pause, then save")
        kept = ("build", "executor", "frame")
        content = frame.archive({name: about[name] for name in kept})
        return Answer([content], "application/zip", f"{self._build.name}-frame-{number}.zip")

    def _post(self, path: str, value: Any) -> Answer:
        """/choice with {"task": NAME, "chosen": BOOL}, /pause with {"paused": BOOL}, /step with {}; the answer is how things then stand."""
        match path, value:
            case "/choice", {"task": str(name), "chosen": bool(chosen), **rest} if not rest:
                try:
                    self.control.choose(name, chosen)
                except UserError as error:
                    raise RefusedRequest(HTTPStatus.BAD_REQUEST, str(error)) from None
            case "/pause", {"paused": bool(paused), **rest} if not rest:
                self.control.pause(paused)
            case "/step", {**rest} if not rest:
                self.control.step()
            case "/choice" | "/pause" | "/step", _:
                raise RefusedRequest(HTTPStatus.BAD_REQUEST, "this is not what is sent here")
            case _:
                raise RefusedRequest(HTTPStatus.NOT_FOUND, "no such page")
        with self._changed:
            self._changed.notify_all()
            return Answer([json.dumps(self._steering()).encode()], "application/json")


def _number(query: dict[str, str], name: str) -> int:
    text = query.get(name, "")
    if not (text == "-1" or (text.isascii() and text.isdecimal() and len(text) < 16)):
        raise RefusedRequest(HTTPStatus.BAD_REQUEST, f"{name} is no number")
    return int(text)
