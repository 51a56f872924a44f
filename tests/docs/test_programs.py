"""docs/programs.md: its session, run as it stands."""

from tests.docs.markdown import REPOSITORY, blocks

PAGE = REPOSITORY / "docs" / "programs.md"


def test_the_session_runs_and_prints_what_the_page_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks(PAGE, "python"):
        exec(compile("\n" * block.line + block.text, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    for block in blocks(PAGE, "text"):
        assert block.text in printed
    assert "cycles, the array multiplied in" in printed
