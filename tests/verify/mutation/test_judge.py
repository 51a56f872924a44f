"""What becomes of mutants on their way: the workload, the proof, the tests of the module, the argument."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from moesaic.campaign.workers import in_this_process
from tests.verify.mutation import campaign, module_tests, survivors
from tests.verify.mutation.campaign import judge
from tests.verify.mutation.designs import designs


@pytest.fixture
def fates(monkeypatch, tmp_path):
    """Judges the first five mutants of the sample, of which each way lets one pass less than the one before; returns fate and reason."""
    (design, *_) = designs("operators", 50, 1)
    numbers = sorted(number for number, mutant in design.mutants().items() if module_tests.tests_of(mutant.module))[:5]
    mutants = [design.mutants()[number] for number in numbers]

    def on_workload(_, number: int, __: str) -> dict[str, str]:
        return {"step": "registers" if number == numbers[0] else "", "how": "a byte differs"}

    tried: list[str] = []

    def test(path: str, _, beside, number: int) -> dict[str, str]:
        tried.append(path)
        return {"test": path if beside[number - 1] is mutants[2] else ""}

    monkeypatch.setattr(campaign, "on_workload", on_workload)
    monkeypatch.setattr(survivors, "_prove", lambda _, mutant: {"equivalent": mutant == mutants[1]})
    monkeypatch.setattr(survivors, "_test", test)
    monkeypatch.setattr(survivors, "reason_for", lambda mutant: "unreachable" if mutant == mutants[3] else "")

    def run() -> tuple[list[tuple[str, str]], list[str]]:
        tried.clear()
        console = Console(file=io.StringIO())
        found = {each.mutant: each for each in judge([design], [numbers], in_this_process(), tmp_path, console)}
        return [(found[mutant].fate, found[mutant].by) for mutant in mutants], list(tried)

    return run, mutants


def test_each_mutant_ends_where_it_is_noticed_first(fates, tmp_path: Path) -> None:
    run, mutants = fates
    found, tried = run()
    first = module_tests.tests_of(mutants[2].module)[0]
    assert [fate for fate, _ in found] == ["killed", "equivalent", "killed", "argued", "survived"]
    assert found[0][1] == "registers" and found[2][1] == first
    assert set(tried) == {path for mutant in mutants[2:] for path in module_tests.tests_of(mutant.module)} | {first}
    again, tried = run()
    assert again == found and not tried  # what is kept is not run again
