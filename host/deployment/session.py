"""The connection to a board: one ssh, through which its half of a deployment is sent, asked and answered."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterable
from importlib import resources
from types import TracebackType
from typing import Any

from moesaic.errors import UserError

# -T and the rest: a terminal, a command or a session shared with others would come between the two programs.
_SSH = ("ssh", "-T", "-o", "RemoteCommand=none", "-o", "ConnectTimeout=20", "--")
_NO_PYTHON = 127
_TIDY_SECONDS = 10.0


class BoardSession:
    """A board that ssh reaches, with moesaic.host.deployment.on_board running on it. Use it as a context.

    name: as ssh takes it, such as xilinx@192.168.2.99. UserError if the name cannot be a host's or ssh is missing.
    """

    def __init__(self, name: str) -> None:
        if not name or name.startswith("-") or not name.isprintable():
            raise UserError(f"{name!r} is no host; name the board as ssh does, such as xilinx@192.168.2.99")
        if shutil.which("ssh") is None:
            raise UserError(
                "ssh is missing: the board is reached with it; install it with: apt-get install openssh-client"
            )
        self.name = name
        self._token = secrets.token_hex(8)
        self._errors: list[str] = []
        script = resources.files("moesaic.host.deployment").joinpath("on_board.py").read_bytes()
        # No quoting that a login shell other than sh would read in its own way. -I: nothing of the user's is imported.
        command = f'exec python3 -I -c "import sys;exec(sys.stdin.buffer.read({len(script)}))"'
        self._process = subprocess.Popen(
            [*_SSH, name, command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._send([script, f"{self._token}\n".encode()])

    def _listen(self) -> None:
        """Keep what ssh and the board say on stderr, so that neither has to wait."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = "".join(c if c.isprintable() else " " for c in line.decode("utf-8", "replace")).strip()
            if text:
                self._errors.append(text)

    def _send(self, parts: Iterable[bytes]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its last answer says why
            for part in parts:
                self._process.stdin.write(part)
            self._process.stdin.flush()

    def ask(self, request: str, contents: Iterable[bytes] = (), **values: Any) -> dict[str, Any]:
        """The answer to a request, a method of on_board.Deployment with these arguments. contents: sent after it.

        UserError if the connection ends, or with the board's words if the request fails.
        """
        self._send([json.dumps({"request": request, **values}).encode() + b"\n", *contents])
        assert self._process.stdout is not None
        for line in self._process.stdout:
            token, _, text = line.decode("utf-8", "replace").partition(" ")
            if token == self._token:
                answer = json.loads(text)
                if "problem" in answer:
                    raise UserError(f"{self.name}: {answer['problem']}")
                return answer
        raise self._ended()

    def _ended(self) -> UserError:
        code = self._process.wait()
        self._listener.join(_TIDY_SECONDS)
        last = self._errors[-1] if self._errors else "no message"
        if code == _NO_PYTHON or re.search(r"python3\S* not found", last):
            return UserError(f"{self.name} has no python3 ({last}); is it the board? Put PYNQ 3.0 or later on its card")
        return UserError(
            f"ssh {self.name} ended with exit code {code}: {last}; see that `ssh {self.name} python3 --version` works"
        )

    def __enter__(self) -> BoardSession:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """End the connection; the board's half then removes what is not finished."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_TIDY_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(_TIDY_SECONDS)
