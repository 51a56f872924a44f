"""CITATION.cff, CHANGELOG.md, the workflow and the hooks: valid, and in step with the project."""

import re

import tomllib
import yaml

from tests.docs.markdown import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)  # what the format, 1.2.0, requires
    assert citation["cff-version"] == "1.2.0"
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])


def test_the_changelog_keeps_its_format():
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    assert text.startswith("# Changelog\n")
    assert re.search(r"^## \[Unreleased\]$", text, re.MULTILINE)
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_workflow_runs_what_ci_runs():
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert {"run": ".ci/run"} in steps
    assert any(step.get("with", {}).get("cache") == "pip" for step in steps)
    assert {"run": "make docs"} in workflow["jobs"]["docs"]["steps"]


def test_hooks_are_those_of_lint():
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    makefile = (REPOSITORY / "Makefile").read_text()
    for hook in hooks:
        program, subcommand = hook["entry"].split()[:2]
        assert program == ".venv/bin/ruff"
        assert f"ruff {subcommand}" in makefile


def test_the_makefile_names_tests_that_exist():
    """Those of environments of their own, which no other run would miss."""
    text = (REPOSITORY / "Makefile").read_text().replace("\\\n", "")
    lists = re.findall(r"^[A-Z]+_TESTS := (.*)$", text, re.MULTILINE)
    assert len(lists) == 2
    missing = [n for names in lists for n in names.split() if not (REPOSITORY / f"tests/host/test_{n}.py").is_file()]
    assert missing == []
