"""`moesaic deploy` against an ssh that is a program of this test: the board is a directory, its shell one of this machine."""

import dataclasses
import fcntl
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.hls.compiler.generate import generate
from moesaic.host.commands.deploy import board_directory
from moesaic.host.deployment.plan import manifest_text, read_manifest_text
from moesaic.host.deployment.session import BoardSession
from moesaic.host.image_files import read_image

SSH = """#!{python}
import json, os, subprocess, sys, threading
options, host, command = sys.argv[1:sys.argv.index("--")], *sys.argv[sys.argv.index("--") + 1:]
open({log!r}, "a").write("ssh " + host + "\\n")
faults = json.load(open({faults!r}))
if host == "nowhere":
    sys.exit("ssh: Could not resolve hostname nowhere")
sys.stderr.write(faults.get("banner", ""))
sys.stdout.write(faults.get("banner", ""))
sys.stdout.flush()
environment = dict(os.environ, HOME={home!r}, PATH={path!r} + ":" + os.environ["PATH"])
environment.pop("PYTHONPATH", None)
board = subprocess.Popen([*faults.get("shell", ["sh"]), "-c", command], cwd={home!r}, env=environment, stdin=subprocess.PIPE)

def forward():
    passed, cut, damaged = 0, faults.get("cut"), faults.get("damaged")
    while block := os.read(0, 1 << 16):
        if damaged is not None and passed <= damaged < passed + len(block):
            block = bytearray(block)
            block[damaged - passed] ^= 1
        passed += len(block)
        try:
            board.stdin.write(block if cut is None else block[: max(cut - passed + len(block), 0)])
            board.stdin.flush()
        except BrokenPipeError:
            break
        if cut is not None and passed >= cut:
            break
    board.stdin.close()

threading.Thread(target=forward, daemon=True).start()
code = board.wait()
os._exit(255 if "cut" in faults else code)
"""


class Board:
    """A home directory on the board, the log of what reached it and the programs that its PATH finds first.

    faults: of the connection, as SSH reads them. prelude: Python that runs on the board before our half of the deployment.
    """

    def __init__(self, root: Path) -> None:
        self.home, self.log, self.programs = root / "home", root / "log", root / "programs"
        for directory in (self.home, self.programs):
            directory.mkdir(parents=True)
        self.faults_file = root / "faults"
        self.faults()
        self.python()

    def faults(self, **values: object) -> None:
        self.faults_file.write_text(json.dumps(values))

    def python(self, line: str = 'exec {python} "$@"', prelude: str = "") -> None:
        """line: what the copy's own Python does."""
        (self.programs / "prelude.py").write_text(prelude)
        ours = f'import sys;exec(open("{self.programs}/prelude.py").read())'
        write_program(
            self.programs / "python3",
            f"""#!/bin/sh
if [ "$1" = -I ]; then exec {sys.executable} -I -c '{ours}'"
$3"; fi
{line.format(python=sys.executable)}
""",
        )

    def call(self, *words: object) -> subprocess.CompletedProcess:
        environment = {**os.environ, "HOME": str(self.home), "PATH": f"{self.programs}:{os.environ['PATH']}"}
        return subprocess.run(
            [str(word) for word in words], cwd=self.home, env=environment, capture_output=True, text=True, check=False
        )

    def connections(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


def write_program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def remote(tmp_path, monkeypatch) -> Board:
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"):
        monkeypatch.delenv(name, raising=False)
    board = Board(tmp_path / "board")
    local = tmp_path / "local"
    local.mkdir()
    values = {"python": sys.executable, "home": str(board.home), "log": str(board.log), "path": str(board.programs)}
    write_program(local / "ssh", SSH.format(**values, faults=str(board.faults_file)))
    monkeypatch.setenv("PATH", f"{local}:{os.environ['PATH']}")
    return board


@pytest.fixture
def pynq_image(remote, monkeypatch) -> None:
    """A board whose profile brings PYNQ's Python in, in the words of bash, as PYNQ's own does."""
    root = remote.home.parent / "image"
    (root / "bin").mkdir(parents=True)
    (root / "packages").mkdir()
    (root / "packages" / "pynq.py").write_text("")
    (root / "activate").write_text(f'export PATH="{root}/bin:$PATH"\n')
    (root / "pynq_venv.sh").write_text(f"source {root}/activate\n")
    write_program(
        root / "bin" / "python3",
        f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{root}/packages" exec {sys.executable} "$@"\n',
    )
    monkeypatch.setattr(
        "moesaic.host.deployment.contents.PROFILES", (str(root / "pynq_venv.sh"), str(root / "absent.sh"))
    )


def files_below(directory: Path) -> set[str]:
    paths = (path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(directory)) for path in paths}


def everything(directory: Path) -> dict[str, object]:
    """Every byte, link and folder below a directory, with its permissions."""
    found: dict[str, object] = {}
    for path in sorted(directory.rglob("*")):
        name, mode = str(path.relative_to(directory)), path.lstat().st_mode
        content = path.readlink() if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[name] = (oct(mode), content)
    return found


def users_files(home: Path) -> dict[str, bytes]:
    """What a user might have below moesaic/: programs, predictions, notes, also in folders of ours. Written, and returned."""
    content = {
        "moesaic/program.py": b"print('mine')\n",
        "moesaic/predictions/photograph.depth.png": b"\x89PNG mine",
        "moesaic/examples/mine.ipynb": b"{}",
        "moesaic/lib/moesaic/host/extension.py": b"# mine",
        "moesaic/builds/notes.txt": b"which build is which",
        "moesaic/.hidden": b"",
    }
    for name, data in content.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(data)
    return content


def assert_kept(home: Path, content: dict[str, bytes]) -> None:
    assert {name: (home / name).read_bytes() for name in content} == content


def test_the_copy_runs_on_the_board(run_moesaic, remote, board_build, image_file, build):
    """Code, build and bitstream arrive; what was copied gives the pictures that this machine gives."""
    place = f"builds/{build.name}-{build.fingerprint}"
    code, out, err = run_moesaic("deploy", "BOARD=xilinx@pynq", board_build)
    assert (code, err) == (0, "")
    assert f"({build.fingerprint}) is on xilinx@pynq in moesaic" in out
    assert "finds no pynq" in out and f"sudo moesaic/moesaic run moesaic/{place} IMAGE" in out
    assert remote.connections() == 1, "a password is asked for once"
    there = remote.home / "moesaic"
    found = files_below(there)
    assert {
        "moesaic",
        "lib/moesaic/host/viewer/page.html",
        "lib/moesaic/host/board.py",
        "lib/moesaic/spec/build.py",
        f"{place}/build.json",
    } <= found
    assert {f"bitstreams/tiny-{build.fingerprint}/accel.{kind}" for kind in ("bit", "hwh")} <= found
    packages = {name.split("/")[0] for name in found}
    assert packages == {"moesaic", "python", "lib", "builds", "bitstreams", "examples", "deployed.json"}
    assert sorted(path.name for path in remote.home.iterdir()) == ["moesaic"], "nothing is left beside it"
    listed = read_manifest_text((there / "deployed.json").read_text())
    assert set(listed) == found - {"deployed.json"}

    run = remote.call(there / "moesaic", "run", there / place, image_file, "--executor", "emulator")
    assert run.returncode == 0, run.stderr
    assert not list(there.rglob("__pycache__")), "as root, it would be in the way of the next deployment"
    assert (
        run_moesaic("run", board_build, image_file, "--executor", "emulator", "--output", remote.log.parent / "here")[0]
        == 0
    )
    for task in build.tasks:
        name = f"{image_file.stem}.{task}.png"
        assert np.array_equal(
            read_image(remote.home / "predictions" / name), read_image(remote.log.parent / "here" / name)
        )


def test_deploying_again_keeps_what_is_the_users(run_moesaic, remote, board_build):
    """And what deploy put there and does not bring any more goes."""
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    content = users_files(remote.home)
    there = remote.home / "moesaic"
    listed = read_manifest_text((there / "deployed.json").read_text())
    (there / "lib" / "moesaic" / "old").mkdir()
    (there / "lib" / "moesaic" / "old" / "stale.py").write_bytes(b"")
    listed["lib/moesaic/old/stale.py"] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (there / "deployed.json").write_text(manifest_text(listed))
    before = everything(there)
    code, out, err = run_moesaic("deploy", "pynq", board_build)
    assert (code, err) == (0, "") and "0 files written, 0 replaced, 1 removed" in out
    assert_kept(remote.home, content)
    after = everything(there)
    assert set(before) - set(after) == {"lib/moesaic/old", "lib/moesaic/old/stale.py"} and set(after) <= set(before)
    assert {name: after[name] for name in after if name != "deployed.json"} == {
        name: before[name] for name in after if name != "deployed.json"
    }
    assert sorted(path.name for path in remote.home.iterdir()) == ["moesaic"]


def test_what_the_user_has_edited(run_moesaic, remote, board_build, monkeypatch):
    """A notebook stays in its place, and a new version of it comes beside; code is saved beside ours. Twice over."""
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    there = remote.home / "moesaic"
    notebook, code_file = there / "examples" / "first_steps.ipynb", there / "lib" / "moesaic" / "errors.py"
    ours, ours_code = notebook.read_bytes(), code_file.read_bytes()
    notebook.write_bytes(b"my cells")
    code_file.write_bytes(b"my code")
    code, out, err = run_moesaic("deploy", "pynq", board_build)
    assert (code, err) == (0, "")
    assert "you have edited examples/first_steps.ipynb: it stays\n" in out
    assert "lib/moesaic/errors.py was edited: it is kept as lib/moesaic/errors.edited.py" in out
    assert notebook.read_bytes() == b"my cells" and not notebook.with_name("first_steps.new.ipynb").exists()
    assert (code_file.read_bytes(), code_file.with_name("errors.edited.py").read_bytes()) == (ours_code, b"my code")

    listed = read_manifest_text((there / "deployed.json").read_text())  # as if an older version had been deployed
    (there / "deployed.json").write_text(manifest_text({**listed, "examples/first_steps.ipynb": "0" * 64}))
    code_file.write_bytes(b"more code")
    code, out, _ = run_moesaic("deploy", "pynq", board_build)
    assert code == 0 and "it stays, the new one is examples/first_steps.new.ipynb" in out
    assert (notebook.read_bytes(), notebook.with_name("first_steps.new.ipynb").read_bytes()) == (b"my cells", ours)
    assert code_file.with_name("errors.edited.py").read_bytes() == b"my code"
    assert code_file.with_name("errors.edited-2.py").read_bytes() == b"more code"

    notebook.with_name("first_steps.new.ipynb").replace(notebook)  # the user takes the new one
    code, out, _ = run_moesaic("deploy", "pynq", board_build)
    assert code == 0 and "edited" not in out and notebook.read_bytes() == ours


def test_a_folder_that_deploy_did_not_make(run_moesaic, remote, board_build, monkeypatch):
    """Nobody to ask: nothing is touched. With the user's word it is used, and every file of it stays."""
    mine = remote.home / "photos"
    (mine / "lib").mkdir(parents=True)
    (mine / "a.png").write_bytes(b"one")
    (mine / "lib" / "b.py").write_bytes(b"two")
    (mine / "moesaic").write_bytes(b"three")
    before = everything(remote.home)
    words = ("deploy", "pynq", board_build, "--directory", "photos")
    code, _, err = run_moesaic(*words)
    assert code == 2 and err.count("\n") == 1 and "its 3 files stay there" in err and "--yes" in err
    assert "kept under another name: moesaic;" in err and everything(remote.home) == before

    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)}))
    for answer in ("n", ""):
        monkeypatch.setattr("builtins.input", lambda question: answer)  # noqa: B023  called at once
        assert run_moesaic(*words)[:2] == (1, "nothing was changed\n") and everything(remote.home) == before
    monkeypatch.setattr("builtins.input", lambda question: "yes" if "not made by moesaic deploy" in question else "")
    code, out, _ = run_moesaic(*words)
    assert code == 0 and "moesaic was not from a deployment: it is kept as moesaic.edited" in out
    after = everything(remote.home)
    assert after.pop("photos/moesaic.edited") == before.pop("photos/moesaic")
    assert {name: after[name] for name in before} == before

    monkeypatch.setattr("builtins.input", pytest.fail)
    assert run_moesaic(*words)[0] == 0, "it is deploy's own by now"


def test_yes(run_moesaic, remote, board_build):
    (remote.home / "moesaic").mkdir()
    (remote.home / "moesaic" / "mine").write_bytes(b"mine")
    assert run_moesaic("deploy", "pynq", board_build)[0] == 2
    assert run_moesaic("deploy", "pynq", board_build, "--yes")[0] == 0
    assert (remote.home / "moesaic" / "mine").read_bytes() == b"mine"


def test_an_altered_manifest_counts_for_nothing(run_moesaic, remote, board_build):
    """It could name any file; what it names must not be removed."""
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    path = remote.home / "moesaic" / "deployed.json"
    content = users_files(remote.home)
    manifest = json.loads(path.read_text())
    manifest["files"]["program.py"] = "0" * 64
    path.write_text(json.dumps(manifest))
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "has an altered deployed.json" in err
    assert run_moesaic("deploy", "pynq", board_build, "--yes")[0] == 0
    assert_kept(remote.home, content)


def test_a_manifest_leads_nowhere_else(run_moesaic, remote, board_build):
    """Even with its seal."""
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    path = remote.home / "moesaic" / "deployed.json"
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    outside = (remote.home / "outside", remote.home / "moesaic" / "lib" / ".." / ".." / "outside")
    (remote.home / "outside").write_bytes(b"")
    listed = {
        **read_manifest_text(path.read_text()),
        str(outside[0]): empty,
        "../outside": empty,
        "lib/../../outside": empty,
    }
    path.write_text(manifest_text(listed))
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0 and (remote.home / "outside").exists()


def test_dry_run(run_moesaic, remote, board_build, build):
    words = ("deploy", "pynq", board_build, "--dry-run")
    code, out, _ = run_moesaic(*words)
    assert code == 0 and not list(remote.home.iterdir()) and "bytes would be sent; nothing was changed" in out
    assert "write                 moesaic\n" in out
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    there = remote.home / "moesaic"
    (there / "moesaic").write_bytes(b"edited")
    (there / "python").unlink()
    (there / "examples" / "first_steps.ipynb").write_bytes(b"edited")
    listed = read_manifest_text((there / "deployed.json").read_text())
    (there / "lib" / "moesaic" / "errors.py").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (there / "lib" / "stale.py").write_bytes(b"")
    listed |= {"lib/moesaic/errors.py": empty, "lib/stale.py": empty}
    del listed[f"builds/{build.name}-{build.fingerprint}/constants.bin"]
    (there / f"builds/{build.name}-{build.fingerprint}/constants.bin").write_bytes(b"foreign")
    (there / "deployed.json").write_text(manifest_text(listed))
    before = everything(remote.home)
    code, out, _ = run_moesaic(*words)
    assert code == 0 and everything(remote.home) == before
    told = {tuple(line.rsplit(maxsplit=1)) for line in out.splitlines() if not line.startswith("unchanged")}
    assert told == {
        ("write", "python"),
        ("replace", "lib/moesaic/errors.py"),
        ("remove", "lib/stale.py"),
        ("keep, edited", "examples/first_steps.ipynb"),
        ("rename, edited", "moesaic"),
        ("rename, not deployed", f"builds/{build.name}-{build.fingerprint}/constants.bin"),
        tuple(out.splitlines()[-1].rsplit(maxsplit=1)),
    }


@pytest.mark.parametrize("shell", [["sh"], ["bash"], ["busybox", "sh"]], ids=" ".join)
def test_banners_are_no_answers(run_moesaic, remote, board_build, shell):
    """Words on both streams, of the login and of the profile; none of them comes up in what is printed."""
    if shutil.which(shell[0]) is None:
        pytest.skip(f"no {shell[0]} here")
    banner = 'Welcome to / ~ home; rm -rf *\n{"problem": "none"}\n\x1b[31mred\n'
    remote.faults(banner=banner * 2000, shell=shell)
    remote.python(f'echo "{{{{}}}} / rm -rf"; exec {sys.executable} "$@"')
    for _ in range(2):
        code, out, err = run_moesaic("deploy", "pynq", board_build)
        assert (code, err) == (0, "") and "rm -rf" not in out and "Welcome" not in out
    assert sorted(path.name for path in remote.home.iterdir()) == ["moesaic"]


def test_the_profile_is_written_for_bash(run_moesaic, remote, pynq_image, board_build):
    """PYNQ's packages are found by the check, and by what the user runs afterwards, also through a link."""
    code, out, err = run_moesaic("deploy", "pynq", board_build)
    assert (code, err) == (0, "") and "with its bitstream\n" in out
    (remote.home / "link").symlink_to("moesaic/python")
    for program in (remote.home / "moesaic" / "python", remote.home / "link"):
        found = remote.call(program, "-c", "import pynq; print(pynq.__name__)")
        assert (found.stdout, found.stderr) == ("pynq\n", "")
    doctor = remote.call(remote.home / "moesaic" / "moesaic", "doctor")
    assert doctor.returncode == 0 and doctor.stderr == ""


def test_programs_in_the_home_directory_are_not_imported(run_moesaic, remote, board_build):
    """By names that the board's half and the check import."""
    for name in ("json.py", "numpy.py", "hashlib.py"):
        (remote.home / name).write_text("raise SystemExit('the wrong one')")
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0


def test_builds_of_other_names_lie_side_by_side(run_moesaic, remote, board_build, bundle, build, tmp_path):
    """Though both directories are called `build`, as the demo's is; and a build again replaces itself only."""
    other = generate(dataclasses.replace(bundle, name="second demo"), build.configuration)
    other.save(tmp_path / "other" / "build")
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    before = everything(remote.home / "moesaic" / "builds")
    code, out, _ = run_moesaic("deploy", "pynq", tmp_path / "other" / "build", "--without-bitstream")
    assert code == 0
    names = [f"{name}-{build.fingerprint}" for name in (build.name, "second_demo-tiny")]
    assert sorted(path.name for path in (remote.home / "moesaic" / "builds").iterdir()) == sorted(names)
    assert f"moesaic/builds/{names[1]} IMAGE" in out
    after = everything(remote.home / "moesaic" / "builds")
    assert {name: after[name] for name in before} == before
    listed = read_manifest_text((remote.home / "moesaic" / "deployed.json").read_text())
    assert {f"builds/{name}/constants.bin" for name in names} <= set(listed), "both are still deploy's own"


def test_without_bitstream(run_moesaic, remote, saved_build):
    code, _, err = run_moesaic("deploy", "pynq", saved_build)
    assert code == 2 and "no bitstream" in err and not remote.log.exists(), "nothing is sent before all is there"
    code, out, _ = run_moesaic("deploy", "pynq", saved_build, "--without-bitstream", "--directory", "apps/moesaic")
    assert code == 0 and "emulator" in out and (remote.home / "apps" / "moesaic" / "moesaic").exists()


@pytest.mark.parametrize(
    ("python", "parts"),
    [
        (
            """echo 'moesaic deployment check: {{"python": "3.8.2", "fingerprint": "", "problem": "x", "pynq": true}}'""",
            ["Python 3.8.2, 3.10"],
        ),
        ("echo no such thing >&2; exit 127", ["exit code 127: no such thing"]),
        ("echo hello", ["Python does not run on pynq"]),
        (
            "d=$(mktemp -d); echo \"import sys; sys.modules['numpy'] = None\" > $d/sitecustomize.py\n"
            'PYTHONPATH="$PYTHONPATH:$d" exec {python} "$@"',
            ["numpy"],
        ),
    ],
    ids=["old python", "no python", "no board", "no numpy"],
)
def test_a_board_that_cannot_run_it_keeps_what_it_has(run_moesaic, remote, board_build, python, parts):
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    (remote.home / "moesaic" / "moesaic").unlink()  # so that there is something to write
    before = everything(remote.home)
    remote.python(python)
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and err.count("\n") == 1
    for part in parts:
        assert part in err
    assert everything(remote.home) == before


def test_a_board_without_python(run_moesaic, remote, board_build):
    write_program(remote.programs / "python3", "#!/bin/sh\necho 'sh: python3: not found' >&2; exit 127\n")
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "pynq has no python3" in err and not list(remote.home.iterdir())


NO_ROOM = """
import os
real, calls = os.fsync, []
def fsync(file):
    calls.append(file)
    if len(calls) > 9:
        raise OSError(28, os.strerror(28), "/home/there")
    real(file)
os.fsync = fsync
"""
HALF_A_COMMIT = """
import os
real, calls = os.replace, []
def replace(source, target):
    calls.append(target)
    if len(calls) == 9:
        {end}
    real(source, target)
os.replace = replace
"""


@pytest.mark.parametrize(
    ("prelude", "faults", "part"),
    [
        (
            "import os; os.statvfs = lambda path: type('Space', (), dict(f_bavail=3, f_frsize=1000))",
            {},
            "3,000 bytes left",
        ),
        (NO_ROOM, {}, "No space left on device"),
        (HALF_A_COMMIT.format(end="raise OSError(13, os.strerror(13), target)"), {}, "Permission denied"),
        ("", {"cut": 100}, "exit code 255"),
        ("", {"cut": 60_000}, "exit code 255"),
        ("", {"damaged": 200_000}, "damaged on the way"),
    ],
    ids=["too little room", "full disk", "while it is put in place", "cut in the script", "cut in a file", "damaged"],
)
@pytest.mark.parametrize("again", [False, True], ids=["the first", "again"])
def test_what_goes_wrong_changes_nothing(run_moesaic, remote, board_build, prelude, faults, part, again):
    """A first deployment leaves nothing, a second one every byte as it was, and the next one succeeds."""
    if again:
        assert run_moesaic("deploy", "pynq", board_build)[0] == 0
        users_files(remote.home)
        there = remote.home / "moesaic"
        listed = read_manifest_text((there / "deployed.json").read_text())
        for path in sorted((there / "lib").rglob("*.py")):  # an older version, some of it edited
            path.write_text("# old")
            listed[str(path.relative_to(there))] = "0" * 64 if path.name < "c" else hash_of(path)
        (there / "deployed.json").write_text(manifest_text(listed))
    before = everything(remote.home)
    remote.python(prelude=prelude)
    remote.faults(**faults)
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and err.count("\n") == 1 and part in err
    assert everything(remote.home) == before
    remote.python()
    remote.faults()
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0


def hash_of(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("again", [False, True], ids=["the first", "again"])
def test_a_board_that_loses_power_while_files_are_put_in_place(run_moesaic, remote, board_build, again):
    """The next deployment takes over, and takes nothing of it for the user's."""
    if again:
        assert run_moesaic("deploy", "pynq", board_build)[0] == 0
        there = remote.home / "moesaic"
        listed = read_manifest_text((there / "deployed.json").read_text())
        for path in sorted((there / "lib").rglob("*.py")):
            path.write_text("# old")
            listed[str(path.relative_to(there))] = hash_of(path)
        (there / "deployed.json").write_text(manifest_text(listed))
    remote.python(prelude=HALF_A_COMMIT.format(end="os._exit(9)"))
    assert run_moesaic("deploy", "pynq", board_build)[0] == 2
    content = users_files(remote.home)
    remote.python()
    code, out, err = run_moesaic("deploy", "pynq", board_build)
    assert (code, err) == (0, "") and "edited" not in out and "kept" not in out
    assert_kept(remote.home, content)
    assert not [name for name in everything(remote.home) if ".deploying" in name or ".edited" in name]


def test_a_file_that_changes_in_the_meantime(run_moesaic, remote, board_build):
    """Between the look and the end, as an editor on the board does."""
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    notebook = remote.home / "moesaic" / "examples" / "first_steps.ipynb"
    remote.python(f'echo mine > {notebook}\nexec {sys.executable} "$@"')
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "first_steps.ipynb was changed meanwhile" in err and notebook.read_text() == "mine\n"


def test_two_at_once(run_moesaic, remote, board_build):
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0
    folder = os.open(remote.home / "moesaic", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "another deployment to" in err
    os.close(folder)
    assert run_moesaic("deploy", "pynq", board_build)[0] == 0


def test_ctrl_c(run_moesaic, remote, board_build, monkeypatch):
    def interrupt(self, *words: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("moesaic.host.commands.deploy.Deploying.check", interrupt)
    code, _, _ = run_moesaic("deploy", "pynq", board_build)
    assert code == 130 and not list(remote.home.iterdir())


@pytest.mark.parametrize("name", ["", "-oProxyCommand=true", "a\nb"])
def test_what_is_no_host(run_moesaic, remote, board_build, name):
    with pytest.raises(UserError, match="is no host"):
        BoardSession(name)
    assert run_moesaic("deploy", f"BOARD={name}", board_build)[0] == 2 and not remote.log.exists()


def test_a_host_that_is_not_found(run_moesaic, remote, board_build):
    code, _, err = run_moesaic("deploy", "nowhere", board_build)
    assert code == 2 and "Could not resolve hostname nowhere" in err


@pytest.mark.parametrize(
    "directory",
    ["a b", "$(reboot)", "-rf", "a;b", "it's", '"', "apps/x/", "~/apps", "äöü", "*", "{absolute}/a b"],
)
def test_any_name_of_a_folder(run_moesaic, remote, board_build, tmp_path, directory):
    """No shell takes it apart, and the command that is printed runs there as it stands."""
    directory = directory.replace("{absolute}", str(tmp_path / "elsewhere"))
    code, out, err = run_moesaic("deploy", "pynq", board_build, f"--directory={directory}")
    assert (code, err) == (0, "")
    place = remote.home / directory.removeprefix("~/")
    assert (place / "deployed.json").is_file()
    line = out.splitlines()[-1].removeprefix("run it there: sudo ")
    program, run, build, _ = remote.call("sh", "-c", f'for word in {line}; do echo "$word"; done').stdout.splitlines()
    assert run == "run" and os.access(remote.home / program, os.X_OK) and (remote.home / build / "build.json").is_file()
    assert place.samefile((remote.home / program).parent)
    others = {path.name for path in remote.home.iterdir()} - {place.relative_to(place.anchor).parts[-1]}
    assert others <= {"apps"}


@pytest.mark.parametrize("directory", [".", "~", "~/", "/", "..", "x/..", "./", "//", "{home}", "{home}/.."])
def test_a_folder_that_holds_the_home_directory(run_moesaic, remote, board_build, directory):
    """Refused before anything is sent, --yes or not."""
    (remote.home / "mine").write_bytes(b"mine")
    before = everything(remote.home.parent)
    directory = directory.replace("{home}", str(remote.home))
    for words in ((), ("--yes",)):
        code, _, err = run_moesaic("deploy", "pynq", board_build, f"--directory={directory}", *words)
        assert code == 2 and "a folder of its own" in err
    after = everything(remote.home.parent)
    assert after.pop("log") and before == after


@pytest.mark.parametrize("directory", ["", "a\nb", "a:b", "~root/x", "a\tb"])
def test_what_is_no_folder(run_moesaic, remote, board_build, directory):
    with pytest.raises(UserError, match="on the board"):
        board_directory(directory)
    code, _, err = run_moesaic("deploy", "pynq", board_build, f"--directory={directory}")
    assert code == 2 and "on the board" in err and not remote.log.exists()


def test_files_where_folders_belong(run_moesaic, remote, board_build):
    (remote.home / "file").write_bytes(b"mine")
    for directory in ("file", "file/below"):
        code, _, err = run_moesaic("deploy", "pynq", board_build, "--directory", directory)
        assert code == 2 and f"{remote.home / 'file'} is a file where a folder belongs" in err
    assert (remote.home / "file").read_bytes() == b"mine"

    there = remote.home / "moesaic"
    (there / "moesaic" / "inner").mkdir(parents=True)
    (there / "moesaic" / "inner" / "x").write_bytes(b"a folder in the place of a file")
    (there / "lib").write_bytes(b"a file in the place of a folder")
    code, out, _ = run_moesaic("deploy", "pynq", board_build, "--yes")
    assert code == 0 and "lib was not from a deployment: it is kept as lib.edited" in out
    assert (there / "lib.edited").read_bytes() == b"a file in the place of a folder"
    assert (there / "moesaic.edited" / "inner" / "x").read_bytes() == b"a folder in the place of a file"


def test_links(run_moesaic, remote, board_build):
    """A folder that is a link is used; a file that is one is the user's, and so is what it leads to."""
    disk = remote.home / "disk"
    (disk / "builds").mkdir(parents=True)
    (disk / "target").write_bytes(b"mine")
    (remote.home / "moesaic").symlink_to("disk")
    (disk / "python").symlink_to("target")
    (remote.home / "elsewhere").mkdir()
    (disk / "examples").symlink_to("../elsewhere")
    (disk / "lib").symlink_to("nowhere")
    code, out, _ = run_moesaic("deploy", "pynq", board_build, "--yes")
    assert code == 0 and (remote.home / "moesaic").is_symlink()
    assert (disk / "target").read_bytes() == b"mine"
    assert (disk / "python.edited").readlink() == Path("target") and not (disk / "python").is_symlink()
    assert (disk / "lib.edited").readlink() == Path("nowhere")
    assert (remote.home / "elsewhere" / "first_steps.ipynb").is_file() and (disk / "examples").is_symlink()
    code, out, _ = run_moesaic("deploy", "pynq", board_build)
    assert code == 0 and "0 files written, 0 replaced, 0 removed" in out


def test_a_staging_folder_that_is_not_ours(run_moesaic, remote, board_build):
    (remote.home / "moesaic" / ".deploying").mkdir(parents=True)
    (remote.home / "moesaic" / ".deploying" / "mine").write_bytes(b"mine")
    code, _, err = run_moesaic("deploy", "pynq", board_build, "--yes")
    assert code == 2 and "not from a deployment" in err
    assert (remote.home / "moesaic" / ".deploying" / "mine").read_bytes() == b"mine"


def test_ssh_is_missing(run_moesaic, board_build, monkeypatch):
    monkeypatch.setenv("PATH", "")
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "ssh is missing" in err


def test_a_damaged_build_is_not_sent(run_moesaic, remote, board_build):
    manifest = json.loads((board_build / "build.json").read_text())
    manifest["version"] = 0  # of an older moesaic
    (board_build / "build.json").write_text(json.dumps(manifest))
    code, _, err = run_moesaic("deploy", "pynq", board_build)
    assert code == 2 and "this program reads" in err and not remote.log.exists()


def test_the_boards_half_is_read_by_an_old_python():
    """So that a board with an old image is told which Python it needs."""
    import ast
    from importlib import resources

    ast.parse(resources.files("moesaic.host.deployment").joinpath("on_board.py").read_text(), feature_version=(3, 7))
