from pathlib import Path

import pytest

from moesaic.model.experiments.real.saliency_package import SaliencyNetwork
from tests.model.experiments.real.published import write_published


@pytest.fixture(scope="session")
def published_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("published") / "tiny.onnx")


@pytest.fixture(scope="session")
def published(published_file: Path) -> SaliencyNetwork:
    return SaliencyNetwork.load(published_file)
