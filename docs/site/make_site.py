"""Builds build/site: assembles its source, runs the generator, and checks what came out. Run by `make docs`; a warning is an error."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

from docs.site.check import problems
from docs.site.source import ROOT, assemble

HERE = Path(__file__).parent
PROJECT = ROOT / "build" / "site-project"
SITE = ROOT / "build" / "site"
_WARNINGS = ("warning", "griffe:", "error")


def main() -> int:
    runpy.run_path(str(ROOT / "mirror.py"), run_name="__main__")
    assemble(PROJECT / "source")
    shutil.copyfile(HERE / "zensical.toml", PROJECT / "zensical.toml")
    program = Path(sys.executable).with_name("zensical")
    run = subprocess.run(
        [str(program), "build", "--clean", "--strict"],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    said = re.sub(r"\x1b\[[0-9;]*m", "", run.stdout).partition("Traceback")[
        0
    ]  # in one colour, and without how it ends itself
    warned = any(word in line.lower() for line in said.splitlines() for word in _WARNINGS)
    if run.returncode != 0 or warned:
        print(said, file=sys.stderr)
        return 1
    found = problems(PROJECT / "site")
    if found:
        print(*found, f"{len(found)} faults", sep="\n", file=sys.stderr)
        return 1
    shutil.rmtree(SITE, ignore_errors=True)
    shutil.copytree(PROJECT / "site", SITE)
    print(f"{SITE.relative_to(ROOT)}/index.html: {sum(1 for _ in SITE.rglob('*.html'))} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
