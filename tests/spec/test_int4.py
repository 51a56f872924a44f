"""Weights of 4 bits: two in a byte, and bundles that store them so."""

import dataclasses

import numpy as np
import pytest

from moesaic.errors import UserError
from moesaic.files import read_manifest, write_directory
from moesaic.spec.bundle import FORMAT, VERSION, is_packed, load_bundle
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


FOUR = {1: (0, 2, 5)}
"""The experts of the fixture that have 4 bits; the others have 8."""


@pytest.fixture
def bundle():
    """A network with some expert weights of 4 bits; the width, 40, is even, so one layer gets an odd number of inputs."""
    return network(dataclasses.replace(ODD, expert_hidden=71, four_bit_experts=FOUR), 0)


def with_bits(bundle, experts):
    return dataclasses.replace(bundle, architecture=dataclasses.replace(bundle.architecture, four_bit_experts=experts))


def test_bits_are_of_the_expert_whose_layer_or_tensor_it_is(bundle):
    bits = {name: bundle.architecture.weight_bits(name) for name in bundle.tensors}
    assert {int(name.split(".")[3]) for name, found in bits.items() if found == 4} == set(FOUR[1])
    assert bits["blocks.1.experts.2.up.weight"] == bits["blocks.1.experts.2.down.bias"] == 4
    assert bits["blocks.1.experts.3.up.weight"] == bits["blocks.1.experts.table"] == bits["blocks.0.mlp.up.weight"] == 8
    assert bundle.architecture.weight_bits("blocks.1.experts.5.down") == 4
    assert bundle.architecture.weight_bits("blocks.1.experts.1.down") == 8


@pytest.mark.parametrize("experts", [FOUR, {1: tuple(range(6))}, {}], ids=["some", "all", "none"])
def test_a_bundle_stores_weights_of_four_bits_in_half_the_bytes(bundle, experts, tmp_path):
    packed = {name for name in bundle.tensors if is_packed(with_bits(bundle, experts).architecture, name)}
    for name in packed:
        bundle.tensors[name] = np.clip(bundle.tensors[name], -7, 7)
    stored = with_bits(bundle, experts)
    stored.save(tmp_path / "four")
    found = load_bundle(tmp_path / "four")
    assert found.architecture == stored.architecture and found.sha256 == stored.sha256
    assert found.tensors.keys() == stored.tensors.keys()
    for name, value in stored.tensors.items():
        assert found.tensors[name].dtype == value.dtype and np.array_equal(found.tensors[name], value), name
    with_bits(bundle, {}).save(tmp_path / "eight")
    with np.load(tmp_path / "eight/tensors.npz") as eight, np.load(tmp_path / "four/tensors.npz") as four:
        for name, value in bundle.tensors.items():
            rows, columns = value.shape if value.ndim == 2 else (1, value.size)
            assert eight[name].size == rows * columns, name
            assert four[name].size == (rows * -(-columns // 2) if name in packed else rows * columns), name


def _stored_anew(directory, change):
    """The bundle's directory with other stored tensors, its hashes right."""
    manifest = read_manifest(directory, "bundle.json", FORMAT, VERSION, "")
    with np.load(directory / "tensors.npz") as archive:
        tensors = dict(archive)
    change(tensors)
    np.savez(directory / "tensors.npz", **tensors)
    write_directory(directory, "bundle.json", manifest, {n: (directory / n).read_bytes() for n in manifest["files"]})


def test_stored_weights_of_minus_8_or_of_another_shape_are_refused(bundle, tmp_path):
    name = next(name for name in bundle.tensors if is_packed(bundle.architecture, name))
    bundle.save(tmp_path / "low")
    _stored_anew(tmp_path / "low", lambda tensors: tensors[name].fill(0x88))
    with pytest.raises(UserError, match=rf"{name} has a weight of -8, the range is -7 to 7"):
        load_bundle(tmp_path / "low")
    bundle.save(tmp_path / "unpacked")
    _stored_anew(tmp_path / "unpacked", lambda tensors: tensors.update({name: bundle.tensors[name]}))
    with pytest.raises(UserError, match="columns of 4 bits are not int8"):
        load_bundle(tmp_path / "unpacked")
    other = name.replace("experts.0", "experts.1")
    bundle.save(tmp_path / "packed")
    _stored_anew(tmp_path / "packed", lambda tensors: tensors.update({other: tensors[name]}))
    with pytest.raises(
        UserError, match=rf"{other} is \(\(71, 20\), 'uint8'\), the architecture says \(\(71, 40\), 'int8'\)"
    ):
        load_bundle(tmp_path / "packed")


@pytest.mark.parametrize(
    ("experts", "message"),
    [
        ({"0": [1]}, r"four_bit_experts are in block 0, experts are in \[1\]"),
        ({"1": [4, 6]}, r"four_bit_experts of block 1 are \[4, 6\], they must be ascending numbers below 6"),
        ({"1": [4, 2]}, r"four_bit_experts of block 1 are \[4, 2\]"),
        ({"1": []}, r"four_bit_experts of block 1 are \[\]"),
        ({"one": [1]}, "ValueError"),
        ([4], "AttributeError"),
        (None, "KeyError"),
    ],
    ids=str,
)
def test_experts_that_are_not_there_are_refused(bundle, experts, message, tmp_path):
    bundle.save(tmp_path / "b")
    manifest = read_manifest(tmp_path / "b", "bundle.json", FORMAT, VERSION, "")
    manifest["architecture"]["four_bit_experts"] = experts
    if experts is None:
        del manifest["architecture"]["four_bit_experts"]
    files = {name: (tmp_path / "b" / name).read_bytes() for name in manifest["files"]}
    write_directory(tmp_path / "b", "bundle.json", manifest, files)
    with pytest.raises(UserError, match=message):
        load_bundle(tmp_path / "b")


def test_a_bundle_of_before_is_refused_by_its_number(bundle, tmp_path):
    bundle.save(tmp_path / "b")
    manifest = read_manifest(tmp_path / "b", "bundle.json", FORMAT, VERSION, "") | {"version": VERSION - 1}
    write_directory(
        tmp_path / "b", "bundle.json", manifest, {n: (tmp_path / "b" / n).read_bytes() for n in manifest["files"]}
    )
    with pytest.raises(UserError, match=rf"is \('{FORMAT}', 2\), this program reads \('{FORMAT}', 3\)"):
        load_bundle(tmp_path / "b")
