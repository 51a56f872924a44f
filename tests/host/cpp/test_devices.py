"""UIO, u-dma-buf and the lock, on files in their place."""

import os
import re

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.host.lock import DeviceLock, default_lock_file
from moesaic.spec.registers import BY_NAME, STATUS_DONE
from moesaic.spec.resize import fit
from tests.host.cpp.conftest import CppError, Driver
from tests.host.cpp.devices import PHYSICAL_ADDRESS, FakeFiles, needed, synchronised, window


def put_register(files: FakeFiles, name: str, value: int) -> None:
    with files.uio.open("r+b") as file:
        file.seek(BY_NAME[name].offset)
        file.write(value.to_bytes(4, "little"))


def register(files: FakeFiles, name: str) -> int:
    return int(np.fromfile(files.uio, "<u4", 1, offset=BY_NAME[name].offset)[0])


@pytest.fixture
def fake_files(tmp_path, build):
    """Device files of an accelerator that always says that its run is done."""

    def make(memory_bytes: int | None = None, **options) -> FakeFiles:
        files = FakeFiles(tmp_path, memory_bytes or needed(build), **options)
        number = int(build.fingerprint, 16)
        put_register(files, "FINGERPRINT_LOW", number & 0xFFFFFFFF)
        put_register(files, "FINGERPRINT_HIGH", number >> 32)
        put_register(files, "STATUS", STATUS_DONE)
        return files

    return make


def test_registers_and_memory_of_a_run(driver, folder, fake_files, saved_build, build, image):
    files = fake_files()
    driver("load", saved_build)
    assert driver("uio", files) == "polling"
    assert np.array_equal(window(files, 0, build.constants.size), build.constants)
    assert synchronised(files, "sync_for_device") == (0, (build.constants.size + 63) // 64 * 64, 1)
    driver("whole", folder.path / "frame", "normals@1x1", folder.image(image))
    start = needed(build) - build.frame_bytes
    expected = np.full(build.frame_bytes, 0xA5, np.uint8)
    build.write_image(expected, fit(image, build.input, build.image_height, build.image_width)[0])
    assert np.array_equal(folder.bytes("frame"), expected) and np.array_equal(
        window(files, start, build.frame_bytes), expected
    )
    for name in ("sync_for_device", "sync_for_cpu"):
        assert synchronised(files, name) == (start, build.frame_bytes, 1)
    program = build.task("normals@1x1").program
    for name, value in {
        "CONSTANT_BASE_LOW": PHYSICAL_ADDRESS & 0xFFFFFFFF,
        "CONSTANT_BASE_HIGH": PHYSICAL_ADDRESS >> 32,
        "CONSTANT_SIZE": build.constants.size,
        "FRAME_BASE_LOW": (PHYSICAL_ADDRESS + start) & 0xFFFFFFFF,
        "FRAME_BASE_HIGH": (PHYSICAL_ADDRESS + start) >> 32,
        "FRAME_SIZE": build.frame_bytes,
        "PROGRAM_OFFSET": program.offset,
        "PROGRAM_SIZE": program.size,
        "CONTROL": 1,
        "INTERRUPT_ENABLE": 0,
    }.items():
        assert register(files, name) == value, name
    driver("run", folder.path / "out", "depth", folder.image(image))
    output = build.tasks["depth"]
    begin, end = start + output.output_offset, start + output.output_offset + 2 * int(np.prod(output.output_shape))
    size = (end + 63) // 64 * 64 - begin // 64 * 64
    assert synchronised(files, "sync_for_cpu") == (
        begin // 64 * 64,
        min(size, needed(build) - begin // 64 * 64) & ~15,
        1,
    )
    driver("close")


def test_coherent_memory_is_not_synchronised(driver, folder, fake_files, saved_build, image):
    files = fake_files(coherent=1)
    for name in ("sync_for_cpu", "sync_for_device"):
        (files.attributes / name).unlink()
    driver("load", saved_build)
    driver("uio", files)
    driver("run", folder.path / "out", "depth", folder.image(image))


def test_registers_within_a_page(driver, fake_files, saved_build):
    """UIO maps whole pages; registers that begin within one are told by the map's offset."""
    files = fake_files()
    content = files.uio.read_bytes()[:4096]
    files.uio.write_bytes(b"\xee" * 0x800 + content + bytes(0x800))
    (files.maps / "offset").write_text("0x800\n")
    driver("load", saved_build)
    assert driver("uio", files) == "polling"


def test_memory_that_begins_within_a_page_frame(driver, folder, fake_files, saved_build, build, image):
    """Windows begin at multiples of 4,096 of the physical address."""
    files = fake_files(needed(build) + 4096 - 64, physical_address=PHYSICAL_ADDRESS + 64)
    driver("load", saved_build)
    driver("uio", files)
    driver("run", folder.path / "out", "depth", folder.image(image))
    assert register(files, "CONSTANT_BASE_LOW") == (PHYSICAL_ADDRESS + 4096) & 0xFFFFFFFF
    assert np.array_equal(window(files, 4096 - 64, build.constants.size), build.constants)


def test_too_little_memory(driver, fake_files, saved_build, build):
    files = fake_files(needed(build) - 4096)
    driver("load", saved_build)
    with pytest.raises(
        CppError, match=f"has {needed(build) - 4096} bytes of contiguous memory, .* needs {needed(build)}; load"
    ):
        driver("uio", files)


def test_another_accelerator(driver, fake_files, saved_build, build):
    files = fake_files()
    put_register(files, "FINGERPRINT_LOW", 5)
    driver("load", saved_build)
    with pytest.raises(
        CppError,
        match=f"has fingerprint {build.fingerprint}, device .*uio0 has {build.fingerprint[:8]}00000005; generate",
    ):
        driver("uio", files)


MISSING = {
    "device": (lambda f: f.uio.unlink(), r"uio0 cannot be opened \(No such file or directory\); load the bitstream"),
    "map": (
        lambda f: (f.maps / "size").unlink(),
        r"map0/size cannot be read \(No such file or directory\); load the bitstream",
    ),
    "short map": (
        lambda f: (f.maps / "size").write_text("0x800\n"),
        "has 2048 bytes of registers, the accelerator's take 4096; load",
    ),
    "no number": (lambda f: (f.maps / "size").write_text("many\n"), "map0/size holds many, not a number"),
    "empty": (lambda f: (f.maps / "offset").write_text(""), r"map0/offset cannot be read \(it is empty\)"),
    "memory": (
        lambda f: f.udmabuf.unlink(),
        r"udmabuf0 cannot be opened \(No such file or directory\); load the module",
    ),
    "address": (lambda f: (f.attributes / "phys_addr").unlink(), "phys_addr cannot be read .* load the module"),
    "negative": (lambda f: (f.attributes / "size").write_text("-4096\n"), "size holds -4096, not a number"),
    "sync": (lambda f: (f.attributes / "sync_for_cpu").unlink(), "sync_for_cpu cannot be opened"),
    "no bytes": (lambda f: (f.attributes / "size").write_text("0\n"), "udmabuf0 cannot be mapped: 0 bytes at 0"),
}


@pytest.mark.parametrize("name", MISSING)
def test_a_missing_part_is_named(driver, fake_files, saved_build, name):
    files = fake_files()
    remove, message = MISSING[name]
    remove(files)
    driver("load", saved_build)
    with pytest.raises(CppError, match=message):
        driver("uio", files)
    driver("lock", files.lock_file)  # it has not been kept


def test_one_process_at_a_time_whatever_its_language(driver, programs, fake_files, saved_build):
    files = fake_files()
    driver("load", saved_build)
    driver("uio", files)
    with pytest.raises(UserError, match="the board is in use by process") as caught:
        DeviceLock(files.lock_file)
    other = Driver(programs / "driver")
    with pytest.raises(CppError) as caught_there:
        other("lock", files.lock_file)
    assert re.sub(r"this is process \d+", "", str(caught_there.value)) == re.sub(
        r"this is process \d+", "", str(caught.value)
    )
    driver("close")
    lock = DeviceLock(files.lock_file)
    with pytest.raises(CppError, match=f"the board is in use by process {os.getpid()}, this is process"):
        other("lock", files.lock_file)
    lock.release()
    other("lock", files.lock_file)
    other.end()


def test_the_default_lock_is_pythons(driver):
    assert driver("lock_file") == str(default_lock_file())
