"""The Python of the pages: run as it stands in a reader's folder, but for the blocks that say here why not."""

import numpy as np
import pytest

from tests.docs.markdown import PAGES, blocks, name_of
from tests.docs.test_commands import folder

assert folder  # the fixture

ELSEWHERE = {
    "docs/programs.md": "tests/docs/test_programs.py",
    "docs/bench_kit.md": "tests/docs/test_bench_kit.py",
    "docs/hls4ml.md": "tests/hls/hls4ml_backend/test_session.py",
    "docs/isa.md": "loop nests that say what an instruction means",
    "docs/board.md": "a camera and a board",
    "docs/importing.md": "tests/system/test_saliency_example.py",
}
BLOCKS = [
    pytest.param(block, id=f"{name_of(page)}:{block.line}")
    for page in PAGES
    if name_of(page) not in ELSEWHERE
    for block in blocks(page, "python")
]


@pytest.mark.parametrize("block", BLOCKS)
def test_it_runs(block, folder, monkeypatch):
    monkeypatch.chdir(folder)
    exec(block.text, {"image": np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8)})
