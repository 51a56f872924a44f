"""A headless Chromium whose mouse and keyboard a test moves, through the DevTools protocol on a pair of pipes."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium: apt-get install chromium, then pytest tests/host/test_viewer_page.py"
_WORDS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
_SECONDS = 120.0


class Browser:
    """One page of a browser with a profile of its own, from construction to close()."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        words = ["bash", "-c", shell, "-", CHROMIUM, *_WORDS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            words, pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_browser)
        os.close(from_browser)
        self._received = bytearray()
        self._count = 0
        self._session = ""
        self.problems: list[str] = []
        """Exceptions in the page and what it logs as errors, such as what its security policy forbids."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict:
        """Send a command to the page and return its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            if answer.get("method") == "Runtime.exceptionThrown":
                self.problems.append(str(answer["params"]["exceptionDetails"]))
            if answer.get("method") == "Log.entryAdded" and answer["params"]["entry"]["level"] == "error":
                self.problems.append(answer["params"]["entry"]["text"])

    def _next(self) -> dict:
        while (end := self._received.find(b"\0")) < 0:
            ready, _, _ = select.select([self._read], [], [], _SECONDS)
            assert ready, f"the browser is silent for {_SECONDS} s"
            content = os.read(self._read, 1 << 20)
            assert content, "the browser has ended"
            self._received += content
        message = json.loads(self._received[:end])
        del self._received[: end + 1]
        return message

    def open(self, url: str, width: int = 1280, height: int = 800, phone: bool = False) -> None:
        """Load a page in a window of that many CSS pixels."""
        self.resize(width, height, phone)
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def resize(self, width: int, height: int, phone: bool = False) -> None:
        """Give the window another size; as a phone it has a touch screen."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in JavaScript; promises are waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression in JavaScript is true."""
        until = time.monotonic() + _SECONDS
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < until, f"not within {_SECONDS} s: {condition}"
            time.sleep(0.02)

    def click(self, selector: str, held: float = 0.1) -> None:
        """Press the mouse on the middle of an element, as it stands now, and release it after `held` seconds."""
        box = self.box(selector)
        place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2, "button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type="mousePressed", **place)
        time.sleep(held)
        self.call("Input.dispatchMouseEvent", type="mouseReleased", **place)

    def press(self, key: str, held: float = 0.1) -> None:
        """Press a key, as KeyboardEvent.key names it, and release it after `held` seconds."""
        codes = {"Enter": 13, " ": 32, "Tab": 9, "Escape": 27, "ArrowRight": 39, "ArrowLeft": 37}
        what = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **what, **text)
        time.sleep(held)
        self.call("Input.dispatchKeyEvent", type="keyUp", **what)

    def box(self, selector: str) -> dict[str, float]:
        """Bounding box of an element in CSS pixels of the window: x, y, width, height, right, bottom."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")

    def screenshot(self, path: Path) -> None:
        """Write the window as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
