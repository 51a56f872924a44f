"""Settings for timing the experts."""

from dataclasses import dataclass
from pathlib import Path

from moesaic.campaign.kept_results import content_key
from moesaic.model.recipes.recipe import load_recipe


@dataclass(frozen=True)
class TimingSettings:
    """What is timed, and how. batch: images per training step. repeats: number of timings in a median. threads: of PyTorch."""

    recipe: str = "m3vit_tiny"
    batch: int = 16
    repeats: int = 9
    threads: int = 1

    def path(self, directory: Path) -> Path:
        """The file that keeps the figures, a different one for each recipe, batch and number of threads."""
        timed = {"recipe": load_recipe(self.recipe).to_dict(), "batch": self.batch, "threads": self.threads}
        return directory / f"experts-{Path(self.recipe).stem}-{content_key(timed)}.json"
