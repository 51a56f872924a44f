"""The half of a deployment that runs on the board. Its text is sent through ssh; it imports nothing of moesaic.

It answers requests, one line of JSON each, with one line of JSON that begins with a token, so that whatever else the board prints is
no answer. Everything is put into a folder beside the deployed files first and renamed from there; a commit that fails is undone.
Python 3.7 suffices here, so that a board with an old image can say so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import platform
import shutil
import signal
import stat
import subprocess
import sys

MANIFEST = "deployed.json"
STAGING = ".deploying"
JOURNAL = "journal.json"
"""In the staging folder: the manifest that a deployment is about to write. Without it, the folder is not ours."""
_COUNT_LIMIT = 10_000


class Problem(Exception):
    """What keeps this deployment from going on, in words for the user."""


def _sha256(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, ValueError):
        return None


def state_of(path: str) -> str | None:
    """SHA-256 of a regular file; for anything else, and for a file that cannot be read, what it is; None if nothing is there."""
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISREG(mode):
        try:
            return _sha256(path)
        except PermissionError:
            return "a file that cannot be read"
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    return "a folder" if stat.S_ISDIR(mode) else "a special file"


def _unused(path: str) -> str:
    """A name beside `path` for what is moved out of the way."""
    stem, suffix = os.path.splitext(path)
    number, name = 1, f"{stem}.edited{suffix}"
    while os.path.lexists(name):
        number += 1
        name = f"{stem}.edited-{number}{suffix}"
    return name


def _move(source: str, target: str) -> None:
    """Rename, also to another file system: there, the content arrives under another name first."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}{STAGING}")
        try:
            shutil.copy2(source, beside)
            os.replace(beside, target)
        except BaseException:
            os.unlink(beside)
            raise
        os.unlink(source)


def _duplicate(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or a file of another user
        shutil.copy2(source, target)


class Deployment:
    """One deployment, request by request: open, look, stage, check, commit."""

    def __init__(self) -> None:
        self.root = ""
        self.staging = ""
        self._lock = -1
        self._made = []
        self._staged = False

    def open(self, directory: str) -> dict:
        """Find the folder and say what it is. directory: absolute, or relative to the home directory."""
        home = os.path.realpath(os.path.expanduser("~"))
        self.root = os.path.normpath(os.path.join(home, directory))
        self.staging = os.path.join(self.root, STAGING)
        real = os.path.realpath(self.root)
        answer = {"python": platform.python_version(), "home": home, "directory": self.root, "around_home": False}
        if os.path.commonpath([home, real]) == real:
            return dict(answer, around_home=True)
        answer["staged"] = self._new("")
        answer["exists"] = os.path.isdir(self.root)
        if not answer["exists"]:
            place = self.root
            while place != "/" and not os.path.isdir(place):
                if os.path.lexists(place):
                    raise Problem(
                        f"{place} is {_kind(place)} where a folder belongs; move it away or name another folder"
                    )
                place = os.path.dirname(place)
            return answer
        self._take_lock()
        answer["manifest"] = _text(os.path.join(self.root, MANIFEST))
        if os.path.lexists(self.staging):
            answer["journal"] = _text(os.path.join(self.staging, JOURNAL))
            if answer["journal"] is None:
                raise Problem(f"{self.staging} is not from a deployment, and one needs that name; move it away")
        answer["files"] = self._count()
        return answer

    def _take_lock(self) -> None:
        self._lock = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Problem(f"another deployment to {self.root} is under way; wait until it has ended") from None

    def _count(self) -> int:
        """Files in the folder, up to a limit."""
        count = 0
        for top, folders, names in os.walk(self.root):
            if top == self.root and STAGING in folders:
                folders.remove(STAGING)
            count += len(names)
            if count >= _COUNT_LIMIT:
                break
        return count

    def look(self, paths: list) -> dict:
        """found: state_of each path that exists. blocking: what stands where a folder of these paths belongs, with its state."""
        found, blocking = {}, {}
        for path in paths:
            parts = path.split("/")
            for depth in range(1, len(parts)):
                parent = "/".join(parts[:depth])
                full = os.path.join(self.root, parent)
                if os.path.lexists(full) and not os.path.isdir(full):
                    blocking[parent] = state_of(full)
                    break
            else:
                state = state_of(os.path.join(self.root, path))
                if state is not None:
                    found[path] = state
        place = self.root
        while not os.path.isdir(place):
            place = os.path.dirname(place)
        space = os.statvfs(place)
        return {"found": found, "blocking": blocking, "free": space.f_bavail * space.f_frsize}

    def stage(self, manifest_before: str | None, journal: str, send: list, same: list) -> dict:
        """Receive files and put the whole new copy together in the staging folder.

        send: [path, size, SHA-256, mode] of each file, whose contents follow in this order. same: [path, mode] of those that the
        folder has already. manifest_before: as open() told it; another deployment may have come between.
        """
        self._make_folders(self.root)
        if self._lock < 0:
            self._take_lock()
        if _text(os.path.join(self.root, MANIFEST)) != manifest_before:
            raise Problem(f"another deployment has changed {self.root} meanwhile; start again")
        if os.path.lexists(self.staging):
            shutil.rmtree(self.staging)
        os.mkdir(self.staging)
        self._staged = True
        with open(os.path.join(self.staging, JOURNAL), "w", encoding="utf-8") as file:
            file.write(journal)
        for path, size, sha256, mode in send:
            self._receive(self._new(path), size, sha256)
            os.chmod(self._new(path), mode)
        for path, mode in same:
            target = self._new(path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            _duplicate(os.path.join(self.root, path), target)
            if os.stat(target).st_mode & 0o777 != mode:
                os.chmod(target, mode)
        return {}

    def _new(self, path: str) -> str:
        return os.path.join(self.staging, "new", path) if path else os.path.join(self.staging, "new")

    def _receive(self, target: str, size: int, sha256: str) -> None:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        digest = hashlib.sha256()
        with open(target, "wb") as file:
            left = size
            while left:
                block = sys.stdin.buffer.read(min(left, 1 << 16))
                if not block:
                    raise EOFError
                digest.update(block)
                file.write(block)
                left -= len(block)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != sha256:
            raise Problem(f"{os.path.relpath(target, self._new(''))} was damaged on the way; start again")

    def check(self, words: list) -> dict:
        """Run a program of the staged copy. words: its path in the copy, then its arguments."""
        command = [self._new(words[0]), *words[1:]]
        try:
            process = subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False)
        except OSError as error:
            return {"code": 127, "output": "", "errors": str(error)}
        output, errors = (text.decode("utf-8", "replace") for text in (process.stdout, process.stderr))
        return {"code": process.returncode, "output": output, "errors": errors}

    def commit(self, expected: dict, aside: list, put: list, remove: list, manifest: str) -> dict:
        """Put the staged files into their places.

        expected: path to what look() found there, for all that is touched. aside: paths whose present owner is the user: they are
        renamed. put: paths that the staged files take. remove: paths of earlier deployments. Returns under which names what stood
        aside is kept.
        """
        for path, state in expected.items():
            if state_of(os.path.join(self.root, path)) != state:
                raise Problem(f"{os.path.join(self.root, path)} was changed meanwhile; start again")
        with open(self._new(MANIFEST), "w", encoding="utf-8") as file:
            file.write(manifest)
            file.flush()
            os.fsync(file.fileno())
        saved, undo = {}, []
        try:
            for path in aside:
                full = os.path.join(self.root, path)
                name = _unused(full)
                os.rename(full, name)
                undo.append((os.rename, name, full))
                saved[path] = os.path.relpath(name, self.root)
            for number, path in enumerate([*put, MANIFEST]):
                self._put(path, os.path.join(self.staging, f"old{number}"), undo)
            for number, path in enumerate(remove):
                full, kept = os.path.join(self.root, path), os.path.join(self.staging, f"removed{number}")
                _move(full, kept)
                undo.append((_move, kept, full))
        except BaseException:
            for action, *paths in reversed(undo):
                action(*paths)
            raise
        self._made = []
        for path in remove:
            self._remove_empty(os.path.dirname(path))
        return {"saved": saved}

    def _put(self, path: str, old: str, undo: list) -> None:
        full = os.path.join(self.root, path)
        self._make_folders(os.path.dirname(full))
        if os.path.lexists(full):
            _duplicate(full, old)
            undo.append((_move, old, full))
        else:
            undo.append((os.unlink, full))
        try:
            _move(self._new(path), full)
        except BaseException:
            if undo[-1][0] is os.unlink and not os.path.lexists(full):
                undo.pop()
            raise

    def _make_folders(self, folder: str) -> None:
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for folder in reversed(missing):
            os.mkdir(folder, 0o755)
            self._made.append(folder)

    def _remove_empty(self, folder: str) -> None:
        while folder:
            try:
                os.rmdir(os.path.join(self.root, folder))
            except OSError:  # not empty
                return
            folder = os.path.dirname(folder)

    def close(self) -> None:
        """Remove the staging folder, and the folders that were made for a deployment that did not come about."""
        if self._staged:
            shutil.rmtree(self.staging, ignore_errors=True)
        for folder in reversed(self._made):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _kind(path: str) -> str:
    state = state_of(path) or "nothing"
    return "a file" if len(state) == 64 else state


def _end(number: int, frame: object) -> None:
    raise SystemExit(1)


def serve() -> None:
    """Answer requests until the connection ends or one fails."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _end)
    os.umask(0o022)
    token = sys.stdin.buffer.readline().decode().strip()

    def answer(values: dict) -> None:
        sys.stdout.write(f"\n{token} {json.dumps(values)}\n")
        sys.stdout.flush()

    deployment = Deployment()
    try:
        for line in iter(sys.stdin.buffer.readline, b""):
            request = json.loads(line.decode())
            answer(getattr(deployment, request.pop("request"))(**request))
    except EOFError:
        pass  # the other end is gone
    except Problem as problem:
        answer({"problem": str(problem)})
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        answer({"problem": f"{where}{error.strerror or error}; see who owns the folder and that there is room"})
    finally:
        deployment.close()


if __name__ == "__main__":
    serve()
