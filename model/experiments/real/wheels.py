"""Files that ship in other packages' wheels; nothing of those packages is imported."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from moesaic.errors import UserError
from moesaic.installation import checkout


def wheel_file(package: str, path: str) -> Path:
    """The place of a file of an installed package. package: its name on PyPI; path: within the wheel.

    UserError if the package is not installed, or its version lacks the file.
    """
    remedy = "make real" if checkout() else "pip install 'moesaic[real]'"
    try:
        found = distribution(package)
    except PackageNotFoundError:
        raise UserError(f"package {package} is missing, whose file {path} is needed: get it with: {remedy}") from None
    place = Path(str(found.locate_file(path)))
    if not place.is_file():
        raise UserError(f"package {package} {found.version} has no file {path}: get the pinned version with: {remedy}")
    return place
