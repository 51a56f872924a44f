"""docs/figures.toml, the one place of figures that several pages and tests state."""

from typing import Any

import tomllib

from tests.docs.markdown import REPOSITORY

FIGURES: dict[str, Any] = tomllib.loads((REPOSITORY / "docs" / "figures.toml").read_text())
