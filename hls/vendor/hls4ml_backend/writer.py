"""What `ModelGraph.write` puts into the output directory: the build, a directory as `moesaic generate` writes it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hls4ml.writer.writers import Writer

if TYPE_CHECKING:  # hls4ml has no ModelGraph yet when it loads its backends
    from hls4ml.model.graph import ModelGraph

BUILD_FOLDER = "build"


def build_directory(model: ModelGraph) -> Path:
    """Where a model's build is written, below its output directory."""
    return Path(model.config.get_output_dir()) / BUILD_FOLDER


class MoesaicWriter(Writer):
    """See the module."""

    def write_hls(self, model: ModelGraph) -> None:
        """Write the build of a model."""
        model.config.backend.session(model).build.save(build_directory(model))
