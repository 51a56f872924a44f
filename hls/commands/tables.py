"""The command `moesaic tables`."""

from __future__ import annotations

import argparse
from pathlib import Path


class TablesCommand:
    """The tables of spec to the files that are derived from them."""

    name = "tables"
    help = "write again what is derived from the instruction and register tables: RTL package, C++ header, manual pages"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        pass

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from moesaic.errors import UserError
        from moesaic.files import write_file
        from moesaic.hls.hardware import tables

        root = Path(tables.__file__).resolve().parents[2]
        if not (root / "pyproject.toml").is_file():
            raise UserError(
                f"moesaic is installed in {root}, which is no checkout: the derived files belong to its source;"
                " run `moesaic tables` in a checkout"
            )
        for name, text in tables.TABLE_FILES.items():
            write_file(root / name, text().encode())
            print(root / name)
        return 0
