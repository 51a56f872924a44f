"""An HTTP server for a page that runs machines: it answers its own page alone, and nobody can use it up.

It checks which host a browser believes it talks to, so that no other page reaches it by pointing its own name here (DNS rebinding), and
which page sent a request that changes something. Sizes, times and numbers of connections are bounded.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import json
import math
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

MOST_CONNECTIONS = 128
REQUEST_SECONDS = 15.0
"""How long a connection may take to its next request's end, idle time included."""
_ANSWER_SECONDS = 60.0
_LARGEST_HEAD, _LARGEST_BODY, _DEEPEST = 16_384, 4_096, 4
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*"')
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Answer(NamedTuple):
    """An answer's body, in parts. file: the name under which a browser is to save it, if it is."""

    parts: Sequence[bytes]
    kind: str
    file: str = ""


class RefusedRequest(Exception):
    """Answered with `status` and a line that says why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


Get = Callable[[str, dict[str, str]], Answer]
"""Answers GET for a path and its query. Raises RefusedRequest."""
Post = Callable[[str, Any], Answer]
"""Answers POST for a path and the JSON value in its body. Raises RefusedRequest."""


def parse_json(content: bytes) -> Any:
    """The JSON value, nested to a depth of 4 at most; ValueError for anything else."""
    text = content.decode()
    depth = 0
    for character in _STRINGS.sub("", text):
        depth += (character in "[{") - (character in "]}")
        if depth > _DEEPEST:
            raise ValueError(f"nested to a depth of more than {_DEEPEST}")
    return json.loads(text)


class HttpServer(ThreadingHTTPServer):
    """Listens from construction on, serves from start() to close(). Each connection has a thread.

    address: an IPv4 or IPv6 address or a name of this machine; "0.0.0.0" and "" are all IPv4 addresses, "::" all of both kinds. port: 0
    for a free one. hosts: names that a browser may use for this machine, beside its addresses, localhost and its own name. Raises
    OSError or UnicodeError if it cannot listen there.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: str, port: int, hosts: Sequence[str], get: Get, post: Post) -> None:
        self.get, self.post = get, post
        place: tuple = (address, port)
        if ":" in address:
            self.address_family, _, _, _, place = socket.getaddrinfo(
                address, port, socket.AF_INET6, socket.SOCK_STREAM
            )[0]
        self._names = {"localhost", address.lower(), socket.gethostname().lower(), *(host.lower() for host in hosts)}
        self._slots = threading.Semaphore(MOST_CONNECTIONS)
        self._deadlines: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(place, _Handler)
        self._thread = threading.Thread(target=self.serve_forever, name="moesaic-page", daemon=True)

    def server_bind(self) -> None:
        """Bind; "::" takes IPv4 as well, whatever the system's default is."""
        if self.address_family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(
            self
        )  # HTTPServer's would look up a name, which takes long without a name server

    @property
    def url(self) -> str:
        """Address of the page, for a browser on this machine."""
        address, port = self.server_address[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(str(address), str(address))
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving, and end all connections. Closing twice is harmless."""
        if self._thread.ident is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()
        self._end_connections(math.inf)

    def names_this(self, host: str, connection: socket.socket) -> bool:
        """Whether a Host header names this machine as a browser that means it would; any port, since ports are forwarded."""
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match[1].strip("[]").lower().rstrip(".")
        if name in self._names:
            return True
        try:
            found = ipaddress.ip_address(name)
            here = ipaddress.ip_address(str(connection.getsockname()[0]).partition("%")[0])
        except ValueError:
            return False
        if isinstance(here, ipaddress.IPv6Address) and here.ipv4_mapped:
            here = here.ipv4_mapped
        return found.is_loopback or found == here

    def set_deadline(self, connection: socket.socket, seconds: float) -> None:
        """End the connection unless a later call comes within so many seconds."""
        with self._lock:
            self._deadlines[connection] = time.monotonic() + seconds

    def service_actions(self) -> None:
        """Called twice a second: end connections that take too long, however they dribble."""
        self._end_connections(time.monotonic())

    def _end_connections(self, now: float) -> None:
        with self._lock:
            late = [connection for connection, deadline in self._deadlines.items() if deadline <= now]
        for connection in late:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads or writes there

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread, or turn it away if there are too many."""
        if not self._slots.acquire(blocking=False):
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.shutdown_request(request)
            return
        self.set_deadline(request, REQUEST_SECONDS)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._deadlines.pop(request, None)
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a browser that goes away in the middle of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _BoundedReader(io.BufferedReader):
    """Reads requests from a connection. http.server bounds each line of a request's head; this bounds their sum, `left` bytes."""

    left = _LARGEST_HEAD

    def readline(self, size: int | None = -1, /) -> bytes:
        most = self.left if size is None or size < 0 else min(size, self.left)
        line = super().readline(most)
        self.left -= len(line)
        if len(line) == most and not line.endswith(b"\n"):
            raise http.client.LineTooLong("request")
        return line


class _Handler(BaseHTTPRequestHandler):
    """Checks requests, and has the server's functions answer them."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "moesaic", ""
    timeout = _ANSWER_SECONDS
    server: HttpServer

    def setup(self) -> None:
        super().setup()
        self.rfile = self._reader = _BoundedReader(self.connection.makefile("rb", buffering=0))

    def handle_one_request(self) -> None:
        self.close_connection = True
        self._reader.left = _LARGEST_HEAD
        self.server.set_deadline(self.connection, REQUEST_SECONDS)
        with contextlib.suppress(http.client.LineTooLong):  # of the request's first line; others are answered
            super().handle_one_request()

    def do_GET(self) -> None:
        self._respond(self._get)

    def do_POST(self) -> None:
        self._respond(self._post)

    def _respond(self, find: Callable[[], Answer]) -> None:
        try:
            self._check_host()
            answer = find()
        except RefusedRequest as refusal:
            self.send_error(refusal.status, str(refusal))
            return
        self._send(HTTPStatus.OK, answer)

    def _check_host(self) -> None:
        host = self._only("Host")
        if not self.server.names_this(host, self.connection):
            name = host.rpartition(":")[0] or host
            raise RefusedRequest(
                HTTPStatus.FORBIDDEN,
                f"{name[:80]!r} is no name of this server; if it should be, start moesaic watch with --allow-host",
            )

    def _only(self, header: str) -> str:
        """The value of a header that has to be there once."""
        values = self.headers.get_all(header) or []
        if len(values) != 1:
            raise RefusedRequest(HTTPStatus.BAD_REQUEST, f"{len(values)} {header} headers, not 1")
        return values[0].strip()

    def _get(self) -> Answer:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            raise RefusedRequest(HTTPStatus.BAD_REQUEST, "a GET has no body")
        path, query = self._target()
        self.server.set_deadline(self.connection, _ANSWER_SECONDS)
        return self.server.get(path, query)

    def _post(self) -> Answer:
        path, _ = self._target()
        origin, site = self.headers.get("Origin"), self.headers.get("Sec-Fetch-Site", "same-origin")
        host = self._only("Host").lower()
        if site != "same-origin" or (
            origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}")
        ):
            raise RefusedRequest(HTTPStatus.FORBIDDEN, "only the page of this server may do this")
        if self.headers.get_content_type() != "application/json":
            raise RefusedRequest(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a request is application/json")
        length = self._only("Content-Length")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,9}", length):
            raise RefusedRequest(HTTPStatus.LENGTH_REQUIRED, "a request states its length")
        if int(length) > _LARGEST_BODY:
            raise RefusedRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes; {_LARGEST_BODY} at most")
        content = self.rfile.read(int(length))
        if len(content) < int(length):
            raise ConnectionAbortedError
        try:
            value = parse_json(content)
        except ValueError:
            raise RefusedRequest(
                HTTPStatus.BAD_REQUEST, f"no JSON, or nested to a depth of more than {_DEEPEST}"
            ) from None
        self.server.set_deadline(self.connection, _ANSWER_SECONDS)
        return self.server.post(path, value)

    def _target(self) -> tuple[str, dict[str, str]]:
        try:
            parts = urlsplit(self.path)
            return parts.path, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query), max_num_fields=10))
        except ValueError:
            raise RefusedRequest(HTTPStatus.BAD_REQUEST, "this address cannot be read") from None

    def _send(self, status: HTTPStatus, answer: Answer) -> None:
        self.send_response(status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(sum(map(len, answer.parts))))
        if answer.file:
            self.send_header("Content-Disposition", f'attachment; filename="{answer.file}"')
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            for part in answer.parts:
                self.wfile.write(part)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse in one line, and end the connection: a body may be left unread."""
        status = HTTPStatus(code)
        self.close_connection = True
        self.request_version = (
            self.protocol_version
        )  # a request that cannot be read states none, and would get no status
        self._send(status, Answer([f"{message or status.phrase}\n".encode()], "text/plain; charset=utf-8"))

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  the name that the base class has
        """Nothing: the terminal is for the command."""
