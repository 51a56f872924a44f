"""The rules of instruction fields: every one can be broken, every one can be kept, and encode names what is wrong."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from moesaic.spec.configuration import load_configuration
from moesaic.spec.field_rules import AtLeast, Size
from moesaic.spec.isa import BY_NAME, Unit, pack, semaphore
from moesaic.spec.legality import encode, size_of, violation
from tests.spec.legal_fields import SMALLEST, random_fields, sides

TINY = load_configuration("tiny")
CONFIGURATIONS = {
    "tiny": TINY,
    "odd": replace(TINY, name="odd", tile_columns=16, tile_depth=8, shared_bytes=0, experts=4),
    "zcu104": load_configuration("zcu104"),
}


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_every_limit_has_two_sides(configuration, name):
    found = list(sides(name, configuration))
    for rule in BY_NAME[name].rules:
        assert any(side.rule == rule and not side.legal for side in found), f"nothing breaks: {rule}"
        # The least of a field that is also a multiple lies inside the latter.
        assert isinstance(rule.check, AtLeast) or any(side.rule == rule and side.legal for side in found), rule


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_encode_makes_what_is_legal_and_nothing_else(configuration, name):
    assert encode(name, configuration, **SMALLEST[name]) == pack(name, **SMALLEST[name])
    for side in sides(name, configuration):
        if side.legal:
            assert encode(name, configuration, **side.fields) == pack(name, **side.fields)
        else:
            with pytest.raises(ValueError, match=re.escape(str(side.rule))):
                encode(name, configuration, **side.fields)


@pytest.mark.parametrize("name", BY_NAME)
def test_random_fields_are_legal(name):
    rng = np.random.default_rng(0)
    for _ in range(50):
        assert violation(name, random_fields(name, TINY, rng), TINY) is None


@pytest.mark.parametrize(
    ("name", "fields", "text"),
    [
        ("matmul", {"destination": 0, "scatter": 1}, "destination = 0; on configuration tiny destination is residual if scatter"),
        ("matmul", {"d_address": 24, "destination": 1}, "d_address = 24; on configuration tiny d_address is a multiple of 2 * C "
         "if destination is int16 or residual, where 2 * C = 16"),
        ("matmul", {"a_address": 12, "depth": 4088}, "a_address = 12, depth = 4088; on configuration tiny "
         "a_address % (2 * C) + depth is at most 4,096"),
        ("matmul", {"gather": 1, "queue": 16}, "queue = 16; on configuration tiny queue is at most experts - 1 if gather or "
         "scatter, where experts - 1 = 15"),
        ("layer_norm", {"shift": 32}, "shift = 32; on configuration tiny shift is at most 31"),
        ("store", {"bytes": 8}, "bytes = 8; on configuration tiny bytes is at least 16"),
        ("store", {"space": 0}, "space = 0; on configuration tiny space is frame"),
        ("load", {"count_2": 0}, "count_2 = 0; on configuration tiny count_2 is at least 1"),
        ("load", {"dram_offset": 6}, "dram_offset = 6; on configuration tiny dram_offset is a multiple of 16"),
        ("route", {"top_k": 0}, "top_k = 0; on configuration tiny top_k is at least 1"),
        ("route", {"rows": 100, "first": 29}, "first = 29, rows = 100; on configuration tiny first + rows is at most "
         "queue_tokens, where queue_tokens = 128"),
    ],
)  # fmt: skip
def test_encode_names_field_value_and_rule(name, fields, text):
    with pytest.raises(ValueError) as refused:
        encode(name, TINY, **{**SMALLEST[name], **fields})
    assert str(refused.value) == f"{name}: {text}"


def test_encode_names_the_semaphore_of_another_unit():
    foreign = 1 << semaphore(Unit.STORE, Unit.VECTOR)
    with pytest.raises(
        ValueError, match=r"load\.wait_mask = 0x100: semaphore store to vector is not for the load unit to wait"
    ):
        encode("load", TINY, **SMALLEST["load"], wait_mask=foreign)


def test_sizes_print_and_evaluate():
    c, experts = Size(1, ("tile_columns",)), Size(1, ("experts",))
    assert [str(size) for size in (2 * c, c * Size(1, ("tile_depth",)), experts - 1, Size(1024))] == [
        "2 * C", "C * L", "experts - 1", "1,024"
    ]  # fmt: skip
    assert [size_of(size, TINY) for size in (2 * c, experts - 1, Size(7))] == [16, 15, 7]
