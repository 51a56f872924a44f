"""The installed shape of the checkout, build/mirror/moesaic, as symbolic links: for tools that read files and know no mapping of packages.

Static type checkers and import-linter look for moesaic/spec/isa.py, which lies at spec/isa.py. Run by `make lint`; it needs Python alone.
"""

import contextlib
import os
from pathlib import Path

ROOT = Path(__file__).parent
MIRROR = ROOT / "build" / "mirror"


def mirror() -> None:
    """Bring build/mirror up to date: real directories, a link for each file.

    Links that are right stay, so a program that reads the mirror does not notice when another one asks for it.
    """
    wanted: dict[Path, Path] = {}
    for source in (path.parent for path in ROOT.glob("*/__init__.py")):
        target = MIRROR / "moesaic" / ("" if source.name == "moesaic" else source.name)
        for top, directories, names in os.walk(source):
            directories[:] = [name for name in directories if name != "__pycache__"]
            place = target / Path(top).relative_to(source)
            wanted.update((place / name, Path(top, name)) for name in names)
    for top, _, names in os.walk(MIRROR / "moesaic", topdown=False):
        for link in (Path(top, name) for name in names):
            if not link.is_symlink() or wanted.get(link) != link.readlink():
                link.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty
            os.rmdir(top)
    for link, file in wanted.items():
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(file)


if __name__ == "__main__":
    mirror()
