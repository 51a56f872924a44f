"""The command `moesaic tables`."""

from __future__ import annotations

import argparse


class TablesCommand:
    """Writes the files that are derived from the tables in spec."""

    name = "tables"
    help = "write again what is derived from tables: RTL package, C++ headers, manual pages, register and source lists"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        pass

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        from moesaic.errors import UserError
        from moesaic.files import write_file
        from moesaic.hls.hardware.table_files import TABLE_FILES
        from moesaic.installation import checkout

        root = checkout()
        if root is None:
            raise UserError(
                "this moesaic is installed, not a checkout: the derived files belong to its source; run `moesaic tables` of a checkout"
            )
        for name, text in TABLE_FILES.items():
            write_file(root / name, text().encode())
            print(root / name)
        return 0
