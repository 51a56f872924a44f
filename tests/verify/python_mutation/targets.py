"""The Python that defines what is right, and for each file of it the tests that are to notice a change."""

from __future__ import annotations

_LOWERING = (
    "tests/hls/test_generate.py",
    "tests/hls/test_timing.py",
    "tests/hls/test_one_expert.py",
    "tests/hls/test_declared_spans.py",
    "tests/hls/test_token_heads.py",
    "tests/hls/test_joint_programs.py",
)
_QUANTISATION = (
    "tests/model/quantisation/test_integer.py",
    "tests/model/quantisation/test_quantise.py",
    "tests/model/quantisation/test_degenerate.py",
)

_PROGRAMS = "tests/verify/fuzz/test_emulator_programs.py"
"""Compares with the C++ of the accelerator, which has its own arithmetic."""

TARGETS: dict[str, tuple[str, ...]] = {
    "spec/arithmetic.py": ("tests/spec/test_arithmetic.py", "tests/spec/test_machine.py", _PROGRAMS),
    "spec/machine.py": (
        "tests/spec/test_machine.py",
        "tests/spec/test_legality.py",
        _PROGRAMS,
    ),
    "spec/legality.py": ("tests/spec/test_legality.py", _PROGRAMS),
    "spec/field_rules.py": ("tests/spec/test_legality.py", _PROGRAMS),
    "spec/int4.py": ("tests/spec/test_int4.py", _PROGRAMS),
    "hls/compiler/arena.py": ("tests/hls/test_arena.py", *_LOWERING),
    "hls/compiler/assembler.py": ("tests/hls/test_assembler.py", *_LOWERING),
    "hls/compiler/constants.py": _LOWERING,
    "hls/compiler/emitter.py": _LOWERING,
    "hls/compiler/lanes.py": _LOWERING,
    "hls/compiler/lower_attention.py": _LOWERING,
    "hls/compiler/lower_experts.py": _LOWERING,
    "hls/compiler/lower_head.py": _LOWERING,
    "hls/compiler/lower_mlp.py": _LOWERING,
    "hls/compiler/lower_patch_embedding.py": _LOWERING,
    "hls/compiler/lower_pooled_head.py": _LOWERING,
    "hls/compiler/lowering.py": _LOWERING,
    "hls/compiler/padded_layers.py": _LOWERING,
    "hls/compiler/prefetch.py": ("tests/hls/test_prefetch.py", *_LOWERING),
    "hls/compiler/row_chunks.py": _LOWERING,
    "hls/compiler/weight_layout.py": ("tests/hls/test_weight_layout.py", *_LOWERING),
    "model/quantisation/integer.py": _QUANTISATION,
    "model/quantisation/quantise.py": _QUANTISATION,
    "model/quantisation/scales.py": _QUANTISATION,
    "model/quantisation/gelu.py": _QUANTISATION,
}
"""File, from the repository's root, to test files, those that take least first."""
