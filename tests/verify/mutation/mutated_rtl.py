"""A plugin of pytest: module tests run on the RTL in the directory that MOESAIC_MUTATED_RTL names, wherever that has a file."""

from __future__ import annotations

import os
from pathlib import Path

from moesaic.sim.bench_kit import runner

_mutated = Path(os.environ["MOESAIC_MUTATED_RTL"])
_defaults = runner.run_module_test.__kwdefaults__
assert _defaults is not None
_defaults["rtl_directories"] = (_mutated, *_defaults["rtl_directories"])
