"""Commands as the command line runs them, without its handling of errors."""

import argparse

from moesaic.command_line import Command


def call(command: Command | type[Command], *words: object) -> int:
    """The exit code of a command with these arguments."""
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args([str(word) for word in words]))
