"""The report has what the parts left, and the page its table."""

from __future__ import annotations

import pytest

from moesaic.campaign.kept_results import keep_result
from moesaic.errors import InternalError
from tests.verify.__main__ import PAGE, main
from tests.verify.parts import PARTS
from tests.verify.report import HEADING, collect, failures, figures_table, share_killed, with_figures

RESULTS = {
    "coverage": {"line": 100.0, "branch": 99.5, "toggle": 97.25, "plan": 100.0, "modules": []},
    "stress": {"episodes": {"reset": 2, "soft_stop": 3}, "frames": 7, "cycles": 12345, "failures": ["seed 1"]},
    "fuzz": {"programs": 100_000, "rtl_programs": 5_000, "files": 20_000, "failures": 0, "found": []},
    "formal": {"proved": 30, "bounded": 2, "failed": 1, "tasks": []},
    "mutants": {"run": 1000, "killed": 900, "equivalent": 50, "survived": [{}] * 50},
    "python-mutants": {"run": 10, "killed": 9, "equivalent": 0, "survived": [{}]},
}
REPORT = {
    "coverage": {"line": 100.0, "branch": 99.5, "toggle": 97.25, "plan": 100.0},
    "stress": {"episodes": 5, "frames": 7, "cycles": 12345, "failures": 1},
    "fuzz": {"programs": 100_000, "rtl_programs": 5_000, "files": 20_000, "failures": 0},
    "properties": {"proved": 30, "bounded": 2, "failed": 1},
    "mutants": {"run": 1000, "killed": 900, "equivalent": 50, "survived": 50},
    "python_mutants": {"run": 10, "killed": 9, "equivalent": 0, "survived": 1},
}


def test_the_report_has_the_parts_that_ran(tmp_path):
    assert collect(tmp_path) == {}
    for name, result in RESULTS.items():
        keep_result(tmp_path / PARTS[name].file, result)
    assert collect(tmp_path) == REPORT
    assert failures(REPORT) == ["stress: 1 failures", "properties: 1 failed"]
    assert share_killed(REPORT["mutants"]) == 100 * 900 / 950


def test_the_table():
    table = figures_table(REPORT)
    for row in ("| RTL, branches taken | 100 % | 99.50 % |", "| killed, of the others | 95 % | 94.7 % |"):
        assert row in table
    nothing = figures_table({})
    assert nothing.count("| – |") == table.count("\n") - 1


def test_the_page_has_one_section_of_figures():
    page = PAGE.read_text(encoding="utf-8")
    assert page.count(f"\n{HEADING}\n") == 1
    changed = with_figures(page, REPORT)
    assert "94.7 %" in changed and with_figures(changed, REPORT) == changed
    assert with_figures(changed, {}) == changed  # what is not run here stands
    fuzz_alone = with_figures(changed, {"fuzz": {**REPORT["fuzz"], "failures": 8}})
    assert fuzz_alone == changed.replace("| failures of these | 0 | 0 |", "| failures of these | 0 | 8 |", 1)
    before, after = (text.split(HEADING)[0] + text.split(HEADING)[1].partition("\n## ")[2] for text in (page, changed))
    assert before == after
    with pytest.raises(InternalError, match="no section"):
        with_figures("# Page\n", REPORT)


def test_every_part_is_a_program_that_helps(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["nothing"])
    assert ended.value.code == 2 and "unknown part 'nothing'" in capsys.readouterr().err
