"""What `ModelGraph.write` puts into the output directory: the build, in the form that `moesaic generate` writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hls4ml.writer.writers import Writer

if TYPE_CHECKING:  # hls4ml has no ModelGraph yet when it loads its backends
    from hls4ml.model.graph import ModelGraph

BUILD_FOLDER = "build"


def build_directory(model: ModelGraph) -> Path:
    """The directory of a model's build, below the model's output directory."""
    return Path(model.config.get_output_dir()) / BUILD_FOLDER


class MoesaicWriter(Writer):
    """Writes the build of a model in place of an HLS project."""

    def write_hls(self, model: ModelGraph) -> None:
        """Write the build of a model."""
        model.config.backend.session(model).build.save(build_directory(model))
