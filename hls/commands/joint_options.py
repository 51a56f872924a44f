"""The options --joint and --batch: which results a program gives together."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from moesaic.argument_types import names, positive
from moesaic.errors import UserError
from moesaic.spec.joint_programs import ResultSet, one_picture, one_task


def add_joint_options(parser: argparse.ArgumentParser, several: bool) -> None:
    """Add --joint and --batch. several: they may be given more than once."""
    again = "; may be given again" if several else ""
    action = "append" if several else "store"
    parser.add_argument(
        "--joint",
        type=names,
        action=action,
        metavar="TASK[@PATHWAY],…",
        help=f"a program for these tasks of one image in one run, in which every weight is loaded once{again}",
    )
    of_which = "each task and pathway" if several else "the task"
    parser.add_argument(
        "--batch",
        type=positive,
        action=action,
        metavar="N",
        help=f"a program for {of_which} of N images in one run{again}",
    )


def result_sets(
    known: Iterable[str], joint: Iterable[list[str]] | None, batches: Iterable[int] | None
) -> list[ResultSet]:
    """What the joint programs are to give: each set of pathways of one image, then each number of images of each pathway.

    known: the pathways. joint, batches: values of the options, None for none. UserError for an unknown task, or a program of one
    result.
    """
    known = list(known)
    for chosen in joint or ():
        if unknown := [name for name in chosen if name not in known]:
            raise UserError(f"--joint has the unknown task {unknown[0]!r}; known: {', '.join(known)}")
        if len(chosen) < 2:
            raise UserError(f"--joint {chosen[0]} is one task, which every build has a program for: name 2 or more")
    for images in batches or ():
        if images < 2:
            raise UserError(f"--batch {images} is one image, which every build has programs for: choose 2 or more")
    sets = [one_picture(chosen) for chosen in joint or ()]
    sets += [one_task(name, images) for images in batches or () for name in known]
    return list(dict.fromkeys(sets))
