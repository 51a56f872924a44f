"""`moesaic`: what it prints, its exit codes, and that mistakes are one line and leave nothing behind."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import moesaic
from moesaic import command_line
from moesaic.errors import UserError
from moesaic.files import manifest_sha256
from moesaic.host.commands.doctor import ITEMS, Item, program_version, table, vendor_version
from moesaic.host.image_files import read_image
from moesaic.host.prediction_pictures import picture
from moesaic.spec.configuration import load_configuration
from moesaic.spec.executor import MachineFault
from moesaic.spec.isa import Fault
from moesaic.spec.machine import ReferenceMachine
from moesaic.vendor_tools import VIVADO
from tests.hls.networks import SMALL, network
from tests.host.conftest import PYPROJECT


def assert_user_error(result: tuple[int, str, str], *parts: str) -> None:
    code, out, err = result
    assert code == 2
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")
    for part in parts:
        assert part in err


def test_run_writes_a_picture_for_each_task(run_moesaic, saved_build, image, image_file, tmp_path, build):
    output = tmp_path / "out"
    code, out, err = run_moesaic("run", saved_build, image_file, "--executor", "emulator", "--output", output)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == len(build.tasks)
    assert sorted(path.name for path in output.iterdir()) == sorted(f"photograph.{task}.png" for task in build.tasks)
    with moesaic.open(saved_build, "reference") as accelerator:
        for task in build.tasks:
            result = accelerator.run(image, task)
            expected = picture(result.kind, result.decoded)
            assert np.array_equal(read_image(output / f"photograph.{task}.png"), expected)


def test_run_on_the_board_prints_cycles(run_moesaic, board_build, board, image_file, tmp_path):
    code, out, _ = run_moesaic("run", board_build, image_file, "--tasks", "depth", "--output", tmp_path / "out")
    assert code == 0
    assert "cycles" in out and "(board)" in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["photograph.depth.png"]
    assert board.buffers == []


@pytest.fixture
def wrong_run(run_moesaic, image_file, tmp_path):
    """`moesaic run` that is expected to fail, with the output directory it must not make."""
    output = tmp_path / "out"

    def run(directory: Path, *words: object, images: tuple[Path, ...] = (image_file,)) -> tuple[int, str, str]:
        result = run_moesaic("run", directory, *images, "--output", output, *words)
        assert not output.exists()
        return result

    return run


def test_no_build(wrong_run, tmp_path):
    assert_user_error(wrong_run(tmp_path / "nothing"), "build.json is missing", "moesaic generate")


def test_missing_file(wrong_run, own_build):
    (own_build / "constants.bin").unlink()
    assert_user_error(wrong_run(own_build), "constants.bin is missing")


@pytest.mark.parametrize("name", ["constants.bin", "cpp/emulator.cpp"])
def test_truncated_file_is_named_with_both_hashes(wrong_run, own_build, name):
    path = own_build / name
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:-1])
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    assert_user_error(wrong_run(own_build), name, before, after)


def test_altered_constants_are_named_with_both_hashes(wrong_run, own_build):
    path = own_build / "constants.bin"
    content = bytearray(path.read_bytes())
    before = hashlib.sha256(content).hexdigest()
    content[1000] ^= 1
    path.write_bytes(content)
    assert_user_error(wrong_run(own_build), "constants.bin", before, hashlib.sha256(content).hexdigest())


def test_a_build_of_another_version_is_named_with_both(wrong_run, own_build):
    """As an older or newer moesaic would have written it, whole and sealed."""
    known = json.loads((own_build / "build.json").read_text())["version"]
    for version in (known - 1, known + 1):
        rewrite(own_build / "build.json", lambda m: m.update(version=version), seal=True)  # noqa: B023  called at once
        for executor in ("reference", "emulator"):
            result = wrong_run(own_build, "--executor", executor)
            assert_user_error(result, str(own_build / "build.json"), f" {version}", f" {known}", "moesaic generate")


def test_truncated_manifest(wrong_run, own_build):
    path = own_build / "build.json"
    path.write_text(path.read_text()[:-20])
    assert_user_error(wrong_run(own_build), "build.json")


def test_fingerprint_mismatch_prints_both(wrong_run, board_build, board, build):
    board.machine = ReferenceMachine(load_configuration("zcu104"))
    assert_user_error(wrong_run(board_build, "--executor", "board"), build.fingerprint, board.machine.fingerprint)


def test_unknown_task(wrong_run, saved_build):
    result = wrong_run(saved_build, "--executor", "reference", "--tasks", "pose")
    assert_user_error(result, "'pose'", "depth, normals, segmentation")


def test_unreadable_image(wrong_run, saved_build, tmp_path):
    path = tmp_path / "broken.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    assert_user_error(wrong_run(saved_build, images=(path,)), str(path), "truncated", "save it again")


def test_missing_image(wrong_run, saved_build, tmp_path):
    assert_user_error(wrong_run(saved_build, images=(tmp_path / "none.png",)), "none.png", "No such file")


def test_a_transparent_image(wrong_run, saved_build, tmp_path):
    path = tmp_path / "clear.png"
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save(path)
    assert_user_error(wrong_run(saved_build, images=(path,)), str(path), "16 pixels are transparent", "background")


def test_one_bad_image_among_good_ones_writes_nothing(wrong_run, saved_build, image_file, tmp_path):
    result = wrong_run(saved_build, images=(image_file, tmp_path / "none.png"))
    assert_user_error(result, "none.png", "No such file")


def test_images_of_one_name(wrong_run, saved_build, image_file):
    assert_user_error(wrong_run(saved_build, images=(image_file, image_file)), "photograph comes twice")


def test_no_compiler(wrong_run, saved_build, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert_user_error(wrong_run(saved_build, "--executor", "emulator"), "g++ is missing", "apt-get install g++")


def test_no_pynq(wrong_run, board_build, no_pynq):
    assert_user_error(wrong_run(board_build, "--executor", "board"), "pynq is missing", "PYNQ's image")


def test_machine_fault(wrong_run, board_build, board):
    board.machine.run = lambda *_: (_ for _ in ()).throw(MachineFault(Fault.AXI_READ, "load", 1))
    assert_user_error(wrong_run(board_build, "--executor", "board"), "AXI_READ in the load unit", "instruction tag 1")
    assert board.buffers == []


def test_output_that_is_a_file(run_moesaic, saved_build, image_file):
    result = run_moesaic(
        "run", saved_build, image_file, "--executor", "reference", "--tasks", "depth", "--output", image_file
    )
    assert_user_error(result, "cannot be written", "another place")


def test_wrong_arguments(run_moesaic):
    assert_user_error(run_moesaic("run"), "build, IMAGE", "moesaic run --help")
    assert_user_error(run_moesaic("fly"), "invalid choice: 'fly'", "doctor")
    assert_user_error(run_moesaic("run", "a", "b", "--executor", "abacus"), "abacus", "emulator")


def test_help_lists_every_command(run_moesaic, capsys):
    for words in ((), ("--help",)):
        with pytest.raises(SystemExit) as stop:
            run_moesaic(*words)
        assert stop.value.code == 0
        out = capsys.readouterr().out
        for name in ("train", "evaluate", "export", "generate", "run", "report", "demo", "doctor"):
            assert f"\n    {name} " in out


def test_only_the_chosen_command_is_loaded(monkeypatch, capsys):
    entries = [
        EntryPoint("train", "no_such_package.commands:Train", command_line.GROUP),
        EntryPoint("doctor", "moesaic.host.commands.doctor:DoctorCommand", command_line.GROUP),
    ]
    monkeypatch.setattr(command_line, "entry_points", lambda group: entries)
    assert command_line.main(["doctor"]) == 0
    assert command_line.main(["train"]) == 2
    assert "needs the package no_such_package" in capsys.readouterr().err


def test_not_installed(monkeypatch, capsys):
    """A copy of the files has the runtime's commands, and those only."""
    monkeypatch.setattr(command_line, "entry_points", lambda group: [])
    with pytest.raises(SystemExit):
        command_line.main(["--help"])
    out = capsys.readouterr().out
    for name in ("compare", "deploy", "doctor", "profile", "run", "selftest", "watch"):
        assert f"  {name} " in out
    assert command_line.main(["train"]) == 2
    captured = capsys.readouterr()
    assert_user_error((2, captured.out, captured.err), "invalid choice: 'train'")


def test_termination_gives_everything_back(saved_build, image_file, tmp_path):
    """SIGTERM ends a command as Ctrl-C does: its `with` blocks are left."""
    code = (
        "import contextlib, sys, time\nfrom moesaic import command_line\nimport moesaic.host.commands.run as run\n"
        "@contextlib.contextmanager\ndef opened(*words):\n"
        "    try:\n        print('running', flush=True)\n        time.sleep(60)\n        yield\n    finally:\n        print('left')\n"
        "run.open_chosen = opened\nsys.exit(command_line.main(sys.argv[1:]))"
    )
    words = [sys.executable, "-c", code, "run", str(saved_build), str(image_file), "--output", str(tmp_path / "out")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=PYPROJECT.parent) as process:
        assert process.stdout.readline() == "running\n"
        process.terminate()
        assert process.stdout.read() == "left\n"
    assert process.returncode == command_line.EXIT_TERMINATED


@pytest.mark.parametrize(
    ("error", "code", "printed"),
    [
        (UserError("two\nlines"), 2, "error: two lines\n"),
        (
            MachineFault(Fault.TIMEOUT, "fetch", 0),
            2,
            "error: the machine stopped: TIMEOUT in the fetch unit, instruction tag 0\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
    ids=["user", "machine", "ctrl-c"],
)
def test_exit_codes(monkeypatch, run_moesaic, error, code, printed):
    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr("moesaic.host.commands.doctor.DoctorCommand.run", staticmethod(fail))
    assert run_moesaic("doctor") == (code, "", printed)


def test_a_bug_keeps_its_traceback(monkeypatch, run_moesaic):
    monkeypatch.setattr("moesaic.host.commands.doctor.table", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_moesaic("doctor")


def test_doctor(run_moesaic):
    code, out, err = run_moesaic("doctor")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [item.name for item in ITEMS]
    python = "{}.{}.{}".format(*sys.version_info)
    assert lines[0].split()[1] == python and lines[1].split()[1] == np.__version__


def test_doctor_names_the_remedy_of_what_is_missing_or_too_old():
    found = Item("gears", lambda: "1.2", "turning", "apt-get install gears")
    missing = Item("wheels", lambda: None, "rolling", "apt-get install wheels")
    old = Item("axles", lambda: "1.2.9", "carrying", "apt-get install axles", "1.3")
    new = Item("belts", lambda: "2.1.0", "driving", "apt-get install belts", "1.3", "2.0")
    fits = Item("chains", lambda: "2.0.9", "pulling", "apt-get install chains", "1.3", "2.0")
    first, second, third, fourth, fifth = table((found, missing, old, new, fits)).splitlines()
    assert first.split() == ["gears", "1.2", "any", "turning"]
    assert "missing" in second and "rolling" in second and "apt-get install wheels" in second
    assert "1.3 and later" in third and "not supported: apt-get install axles" in third
    assert "1.3 to 2.0" in fourth and "not supported: apt-get install belts" in fourth
    assert "not supported" not in fifth


def test_doctor_reads_program_versions(tmp_path, monkeypatch):
    for name, body in (("talks", "echo talks version 7.25.1"), ("silent", "true")):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert program_version("talks") == "7.25.1"
    assert program_version("silent") == str(tmp_path / "silent")
    assert program_version("absent") is None


@pytest.mark.parametrize("place", ["Vivado/2023.1/bin", "2025.1/Vivado/bin"])
def test_doctor_reads_a_vendor_tools_version_from_its_place_and_does_not_start_it(tmp_path, monkeypatch, place):
    directory = tmp_path / place
    directory.mkdir(parents=True)
    (directory / "vivado").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (directory / "vivado").chmod(0o755)
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    assert vendor_version(VIVADO) in ("2023.1", "2025.1")
    assert vendor_version(VIVADO) in place
    assert not (tmp_path / "started").exists()


# --- manifests: sealed, and checked beyond their seal ---------------------------------------------------------------


@pytest.fixture
def own_bundle(tmp_path) -> Path:
    """A bundle that a test may damage."""
    network(SMALL, seed=1).save(tmp_path / "bundle")
    return tmp_path / "bundle"


def rewrite(path: Path, change: Callable[[dict], object], seal: bool) -> tuple[str, str]:
    """Change a manifest, sealed again or not; returns the hash that it carries and the one of its content."""
    manifest = json.loads(path.read_text())
    change(manifest)
    if seal:
        manifest["sha256"] = manifest_sha256(manifest)
    path.write_text(json.dumps(manifest))
    return manifest.get("sha256", "None"), manifest_sha256(manifest)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(name="other"),
        lambda m: m["tasks"]["depth"].update(output_scale=0.5),
        lambda m: m["files"].pop("constants.bin"),
        lambda m: m.pop("sha256"),
    ],
    ids=["name", "scale", "file", "seal"],
)
def test_an_altered_build_manifest_is_refused_with_both_hashes(wrong_run, own_build, change):
    hashes = rewrite(own_build / "build.json", change, seal=False)
    assert_user_error(wrong_run(own_build), str(own_build / "build.json"), *hashes)


def test_an_altered_bundle_manifest_is_refused_with_both_hashes(run_moesaic, own_bundle, tmp_path):
    hashes = rewrite(own_bundle / "bundle.json", lambda m: m["tasks"]["depth"].update(output_scale=0.5), seal=False)
    result = run_moesaic("generate", own_bundle, "--output", tmp_path / "out")
    assert_user_error(result, str(own_bundle / "bundle.json"), *hashes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("fingerprint"),
        lambda m: m.pop("name"),
        lambda m: m.pop("bundle_sha256"),
        lambda m: m.update(tasks=[]),
        lambda m: m.update(tasks={}),
        lambda m: m.update(tasks={"depth": None}),
        lambda m: m.update(image=None),
        lambda m: m.update(frame_bytes="many"),
        lambda m: m.update(frame_bytes=64),
        lambda m: m.update(configuration=[]),
        lambda m: m["configuration"].update(tile_rows="four"),
        lambda m: m["files"].pop("constants.bin"),
        lambda m: m["files"].update({"no such": 5}),
        lambda m: m["tasks"]["depth"]["program"].update(offset=1 << 40),
        lambda m: m["tasks"]["depth"].update(output_shape=[1, 2]),
        lambda m: m["tasks"]["depth"].update(channels=99),
        lambda m: m["tasks"]["depth"].update(surprise=1),
    ],
    ids=lambda _: "",
)
def test_a_malformed_build_manifest(wrong_run, own_build, change):
    rewrite(own_build / "build.json", change, seal=True)
    assert_user_error(wrong_run(own_build))


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("name"),
        lambda m: m.pop("report"),
        lambda m: m.update(tasks=[]),
        lambda m: m.update(tasks={}),
        lambda m: m.update(tasks={"depth": 1}),
        lambda m: m.update(architecture=3),
        lambda m: m["architecture"].update(heads=0),
        lambda m: m["architecture"].update(patch="eight"),
        lambda m: m["architecture"].update(image_width=25),
        lambda m: m["architecture"].update(moe_blocks=[77]),
        lambda m: m["files"].pop("golden.npz"),
        lambda m: m["tasks"]["depth"].update(pathway={}),
        lambda m: m["tasks"]["depth"].update(pathway=[]),
        lambda m: m["tasks"]["depth"].update(pathway={b: [] for b in m["tasks"]["depth"]["pathway"]}),
        lambda m: m["tasks"]["depth"].update(pathway={b: [2, 1] for b in m["tasks"]["depth"]["pathway"]}),
        lambda m: m["tasks"]["depth"].update(pathway={b: [*e, 99] for b, e in m["tasks"]["depth"]["pathway"].items()}),
        lambda m: m["tasks"]["depth"].update(top_k=0),
        lambda m: m["tasks"]["depth"].update(top_k=50),
        lambda m: m["tasks"]["depth"].update(kind="pose"),
        lambda m: m["tasks"]["depth"].update(output_scale="small"),
        lambda m: m["tasks"]["depth"].pop("channels"),
    ],
    ids=lambda _: "",
)
def test_a_malformed_bundle_manifest(run_moesaic, own_bundle, tmp_path, change):
    rewrite(own_bundle / "bundle.json", change, seal=True)
    result = run_moesaic("generate", own_bundle, "--output", tmp_path / "out")
    assert_user_error(result, "bundle.json is malformed")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["file/out", "/proc/nothing/out"])
def test_a_build_that_cannot_be_written(run_moesaic, own_bundle, tmp_path, place):
    (tmp_path / "file").write_text("")
    result = run_moesaic("generate", own_bundle, "--output", tmp_path / place)
    assert_user_error(result, f"{tmp_path / place} cannot be written")


# --- what a command lacks ------------------------------------------------------------------------------------------------


def test_help_imports_no_heavy_package():
    code = (
        "import contextlib, io, sys\nfrom moesaic import command_line\n"
        "try:\n    with contextlib.redirect_stdout(io.StringIO()):\n        command_line.main(['--help'])\n"
        "except SystemExit:\n    pass\nprint(sorted({'torch', 'rich', 'skimage', 'cocotb'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PYPROJECT.parent)
    assert run.stdout == "[]\n"


@pytest.mark.parametrize(
    ("package", "words"), [("torch", ("train",)), ("rich", ("report", "a", "b")), ("torch", ("demo",))]
)
def test_a_package_missing_while_a_command_runs(run_moesaic, monkeypatch, tmp_path, package, words):
    monkeypatch.chdir(tmp_path)
    for room in ("model", "sim"):  # attributes of the package, which importing again replaces
        if hasattr(moesaic, room):
            monkeypatch.setattr(moesaic, room, getattr(moesaic, room))
    for name in list(sys.modules):  # imported again, so that they miss the package whatever ran before
        if name.startswith(("moesaic.model", "moesaic.sim")) or name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    assert_user_error(run_moesaic(*words), f"moesaic {words[0]} needs the package {package}", "make setup")


def test_a_module_of_ours_that_is_missing_is_a_bug(run_moesaic, monkeypatch):
    def fail(arguments: object) -> int:
        raise ModuleNotFoundError("No module named 'moesaic.none'", name="moesaic.none")

    monkeypatch.setattr("moesaic.host.commands.doctor.DoctorCommand.run", staticmethod(fail))
    with pytest.raises(ModuleNotFoundError):
        run_moesaic("doctor")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("train", "--seed", -1), "-1 is below 0"),
        (("train", "--seed", 1 << 32), "is above 4294967295"),
        (("train", "--steps", 0), "0 is below 1"),
        (("train", "--steps", "many"), "'many' is no integer"),
        (("demo", "--threads", 0), "0 is below 1"),
        (("report", "a", "b", "--scenes", -1), "-1 is below 0"),
        (("watch", "a", "b", "--port", 65536), "65536 is above 65535"),
        (("watch", "a", "b", "--port", -1), "-1 is below 0"),
    ],
    ids=lambda words: "-".join(map(str, words)).replace("--", "") if isinstance(words, tuple) else "",
)
def test_numbers_out_of_range(run_moesaic, words, part):
    assert_user_error(run_moesaic(*words), part, f"moesaic {words[0]} --help")


@pytest.mark.parametrize(("executor", "missing"), [("emulator", "g++ is missing"), ("rtl", "perl is missing")])
def test_report_says_what_is_missing_before_it_starts(
    run_moesaic, own_bundle, tmp_path, monkeypatch, executor, missing
):
    assert run_moesaic("generate", own_bundle, "--output", tmp_path / "build")[0] == 0
    monkeypatch.setenv("PATH", "")
    words = (own_bundle, tmp_path / "build", "--executors", executor, "--output", tmp_path / "out")
    assert_user_error(run_moesaic("report", *words), missing)
    assert not (tmp_path / "out").exists()


def test_report_refuses_another_bundle_with_both_hashes(run_moesaic, own_bundle, tmp_path):
    other = network(SMALL, seed=2)
    other.save(tmp_path / "other")
    assert run_moesaic("generate", own_bundle, "--output", tmp_path / "build")[0] == 0
    hashes = [json.loads((d / "bundle.json").read_text())["sha256"] for d in (own_bundle, tmp_path / "other")]
    assert json.loads((tmp_path / "build" / "build.json").read_text())["bundle_sha256"] == hashes[0]
    result = run_moesaic("report", tmp_path / "other", tmp_path / "build", "--output", tmp_path / "out")
    assert_user_error(result, *hashes)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["train", "demo", "report"])
def test_an_output_that_cannot_be_made_is_said_before_the_work(run_moesaic, own_bundle, tmp_path, command):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / "below"
    words = ("--output", place) if command != "train" else ("--checkpoint", place / "model.safetensors")
    if command == "report":
        assert run_moesaic("generate", own_bundle, "--output", tmp_path / "build")[0] == 0
        words = (own_bundle, tmp_path / "build", *words)
    assert_user_error(run_moesaic(command, *words), f"{place} cannot be written (Not a directory)")


@pytest.mark.parametrize(
    ("command", "option"), [("run", "--json"), ("run", "--csv"), ("profile", "--json"), ("selftest", "--json")]
)
def test_a_folder_in_place_of_a_file_is_said_before_the_work(
    run_moesaic, saved_build, image_file, tmp_path, command, option
):
    words = [saved_build] if command == "selftest" else [saved_build, image_file]
    words += ["--output", tmp_path / "made"] if command == "run" else []
    (tmp_path / "folder").mkdir()
    code, out, err = run_moesaic(command, *words, "--executor", "reference", option, tmp_path / "folder")
    assert (code, out) == (2, "") and f"{tmp_path / 'folder'} cannot be written (Is a directory)" in err
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("command", ["run", "compare", "profile", "watch", "selftest"])
@pytest.mark.parametrize("value", ["-5", "0", "x", "1.5", "4294967296"])
def test_max_cycles_that_no_machine_keeps(run_moesaic, saved_build, image_file, command, value):
    words = (saved_build,) if command == "selftest" else (saved_build, image_file)
    code, _, err = run_moesaic(command, *words, "--executor", "reference", f"--max-cycles={value}")
    assert code == 2 and err.count("\n") == 1
    assert "max_cycles is" in err or "--max-cycles" in err
