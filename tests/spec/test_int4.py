"""Weights of 4 bits: two in a byte, and bundles that store them so."""

import dataclasses

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.files import read_manifest, write_directory
from moesaic.spec.bundle import FORMAT, VERSION, is_expert_weight, load_bundle
from moesaic.spec.int4 import pack_int4, unpack_int4
from tests.hls.networks import ODD, network


@pytest.mark.parametrize("columns", [1, 2, 7, 64])
@pytest.mark.parametrize("seed", range(2), ids=lambda s: f"seed{s}")
def test_what_is_packed_comes_back(seed, columns):
    values = np.random.default_rng(seed).integers(-7, 8, (5, columns)).astype(np.int8)
    values[0, 0], values[-1, -1] = -7, 7
    packed = pack_int4(values)
    assert packed.dtype == np.uint8 and packed.shape == (5, (columns + 1) // 2)
    found = unpack_int4(packed, columns)
    assert found.dtype == np.int8 and np.array_equal(found, values)


def test_the_even_column_is_in_the_low_half():
    assert pack_int4(np.array([[1, -1, -7]], np.int8)).tolist() == [[0xF1, 0x09]]


@pytest.mark.parametrize("value", [-8, 8, -128, 127])
def test_values_of_more_bits_are_refused(value):
    with pytest.raises(UserError, match=rf"{min(value, 0)} to {max(value, 0)} do not fit 4 bits"):
        pack_int4(np.array([[0, value]], np.int8))


def test_what_is_no_packed_matrix_is_refused():
    for packed in (np.zeros((2, 3), np.int8), np.zeros((2, 2), np.uint8), np.zeros(3, np.uint8)):
        with pytest.raises(ValueError, match="5 columns of 4 bits"):
            unpack_int4(packed, 5)


@pytest.fixture
def bundle():
    """A network with expert weights of 4 bits; the width, 40, is even, so one layer gets an odd number of inputs."""
    architecture = dataclasses.replace(ODD, expert_hidden=71, expert_weight_bits=4)
    bundle = network(architecture, 0)
    for name, value in bundle.tensors.items():
        if is_expert_weight(name):
            bundle.tensors[name] = np.clip(value, -7, 7)
    return bundle


def test_a_bundle_stores_expert_weights_in_half_the_bytes(bundle, tmp_path):
    bundle.save(tmp_path / "four")
    found = load_bundle(tmp_path / "four")
    assert found.architecture == bundle.architecture and found.sha256 == bundle.sha256
    assert found.tensors.keys() == bundle.tensors.keys()
    for name, value in bundle.tensors.items():
        assert found.tensors[name].dtype == value.dtype and np.array_equal(found.tensors[name], value), name
    weights = sum(value.size for name, value in bundle.tensors.items() if is_expert_weight(name))
    eight = dataclasses.replace(bundle, architecture=dataclasses.replace(bundle.architecture, expert_weight_bits=8))
    eight.save(tmp_path / "eight")
    sizes = [(tmp_path / name / "tensors.npz").stat().st_size for name in ("eight", "four")]
    assert 0.45 * weights < sizes[0] - sizes[1] < 0.5 * weights


def _stored_anew(directory, change):
    """The bundle's directory with other stored tensors, its hashes right."""
    manifest = read_manifest(directory, "bundle.json", FORMAT, VERSION, "")
    with np.load(directory / "tensors.npz") as archive:
        tensors = dict(archive)
    change(tensors)
    np.savez(directory / "tensors.npz", **tensors)
    write_directory(directory, "bundle.json", manifest, {n: (directory / n).read_bytes() for n in manifest["files"]})


def test_stored_weights_of_minus_8_or_of_another_shape_are_refused(bundle, tmp_path):
    name = next(name for name in bundle.tensors if is_expert_weight(name))
    bundle.save(tmp_path / "low")
    _stored_anew(tmp_path / "low", lambda tensors: tensors[name].fill(0x88))
    with pytest.raises(UserError, match=rf"{name} has a weight of -8, the range is -7 to 7"):
        load_bundle(tmp_path / "low")
    bundle.save(tmp_path / "unpacked")
    _stored_anew(tmp_path / "unpacked", lambda tensors: tensors.update({name: bundle.tensors[name]}))
    with pytest.raises(UserError, match="columns of 4 bits are not int8"):
        load_bundle(tmp_path / "unpacked")


def test_another_number_of_bits_is_refused(bundle, tmp_path):
    dataclasses.replace(bundle, architecture=dataclasses.replace(bundle.architecture, expert_weight_bits=8)).save(
        tmp_path / "odd"
    )
    manifest = read_manifest(tmp_path / "odd", "bundle.json", FORMAT, VERSION, "")
    manifest["architecture"]["expert_weight_bits"] = 5
    files = {name: (tmp_path / "odd" / name).read_bytes() for name in manifest["files"]}
    write_directory(tmp_path / "odd", "bundle.json", manifest, files)
    with pytest.raises(UserError, match="expert_weight_bits is 5, it must be one of 8, 4"):
        load_bundle(tmp_path / "odd")
