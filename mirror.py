"""The installed shape of the checkout, build/mirror/moesaic, as symbolic links: for tools that read files and know no mapping of packages.

Static type checkers and import-linter look for moesaic/spec/isa.py, which lies at spec/isa.py. Run by `make lint`; it needs Python alone.
"""

import os
import shutil
from pathlib import Path

ROOT = Path(__file__).parent
MIRROR = ROOT / "build" / "mirror"


def mirror() -> None:
    """Make build/mirror anew: real directories, a link for each file."""
    shutil.rmtree(MIRROR, ignore_errors=True)
    rooms = [path.parent for path in ROOT.glob("*/__init__.py")]
    for source in rooms:
        target = Path("moesaic", "" if source.name == "moesaic" else source.name)
        for top, directories, names in os.walk(source):
            directories[:] = [name for name in directories if name != "__pycache__"]
            place = MIRROR / target / Path(top).relative_to(source)
            place.mkdir(parents=True, exist_ok=True)
            for name in names:
                (place / name).symlink_to(Path(top) / name)


if __name__ == "__main__":
    mirror()
