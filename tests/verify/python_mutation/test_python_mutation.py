"""Which mutants of Python are made, and that a trial runs the mutant and not the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from moesaic.spec.arithmetic import SHIFT_MAX
from tests.verify.python_mutation.samples import PythonMutant, sample
from tests.verify.python_mutation.targets import TARGETS
from tests.verify.python_mutation.trials import outcome
from tests.verify.python_sources import REPOSITORY

pytest.importorskip("cosmic_ray", reason="mutants of Python need cosmic-ray; get it with: make setup")
CONSTANT, VALUE = "SHIFT_MAX", SHIFT_MAX


def test_every_target_and_its_tests_are_there() -> None:
    for file, tests in TARGETS.items():
        assert (REPOSITORY / file).is_file()
        assert tests and all((REPOSITORY / test).is_file() for test in tests)


def test_a_sample_depends_on_its_seed_and_changes_code() -> None:
    first, again, other = (sample(["spec/int4.py", "spec/arithmetic.py"], 20, seed) for seed in (1, 1, 2))
    assert first == again != other and len(set(first)) == len(first)
    for mutant in first:
        assert " → " in mutant.shown() and mutant.file in mutant.shown()


def test_a_trial_runs_the_mutant(tmp_path: Path) -> None:
    test = tmp_path / "test_constant.py"
    test.write_text(
        f"from moesaic.spec.arithmetic import {CONSTANT}\n\ndef test_it():\n    assert {CONSTANT} == {VALUE}\n"
    )
    changed = next(
        mutant
        for mutant in (PythonMutant("spec/arithmetic.py", "core/NumberReplacer", place) for place in range(100))
        if f"`{CONSTANT} = " in mutant.shown()
    )
    assert outcome(None, [str(test)], None)[0] == ""
    assert outcome(changed, [str(test)], 5.0)[0] == "a test failed"
