"""For tests of `failing_test`: a test that cannot pass on a changed file, and one that fails on the second mutant."""

import os


def test_inside() -> None:
    assert "MOESAIC_MUTATED_RTL" not in os.environ


def test_ports() -> None:
    assert os.environ["MOESAIC_MUTATED_MUTANT"] != "2"
