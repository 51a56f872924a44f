"""The command `moesaic lint`."""

from __future__ import annotations

import argparse

EXIT_FINDINGS = 1


class LintCommand:
    """Lint of all RTL with every tool that reads it."""

    name = "lint"
    help = "check all RTL with Verilator, slang and Yosys, each module alone and the accelerator in every configuration"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        """The command takes no arguments."""

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        """Print the findings; return 0 if there are none, EXIT_FINDINGS otherwise."""
        from moesaic.sim.machines.rtl_lint import check_all

        findings = check_all()
        dirty = {name: text for name, text in findings.items() if text}
        for name, text in dirty.items():
            print(f"{name}:\n{text}")
        print(f"RTL lint: {len(findings)} checked, {len(dirty)} with findings")
        return EXIT_FINDINGS if dirty else 0
