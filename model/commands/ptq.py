"""The command `moesaic ptq`."""

from __future__ import annotations

import argparse
from pathlib import Path

from moesaic.argument_types import positive
from moesaic.errors import UserError
from moesaic.model.commands.model_options import HELD_OUT_SCENES, add_data_root, add_threads


class PtqCommand:
    """The same networks in the integers of several tools, on the same pictures."""

    name = "ptq"
    help = "compare post-training quantisation with onnxruntime's, Brevitas' and I-ViT's, resumably (make ptq makes all that it needs)"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--checkpoint", type=Path, nargs="+", default=[], help="trained networks to quantise")
        parser.add_argument(
            "--published", action="store_true", help="quantise the DINOv2 of `moesaic real`, too, on its photographs"
        )
        parser.add_argument(
            "--python", type=Path, help="Python of an environment with Brevitas; without it, Brevitas is left out"
        )
        parser.add_argument(
            "--samples",
            type=positive,
            default=HELD_OUT_SCENES,
            help=f"held-out samples of a trained network's data (default {HELD_OUT_SCENES})",
        )
        add_data_root(parser)
        add_threads(parser)
        parser.add_argument("--output", type=Path, default=Path("build/ptq"), help="where results are kept and written")

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import json

        import torch
        from rich.console import Console

        from moesaic.files import require_writable, write_file
        from moesaic.model.experiments.ptq.ptq_page import ptq_markdown, ptq_table
        from moesaic.model.experiments.ptq.study import run_study, ways_to_integers
        from moesaic.model.experiments.ptq.subjects import published_subject, trained_subject
        from moesaic.pages.terminal import print_table

        if not arguments.checkpoint and not arguments.published:
            raise UserError("no network to quantise: give --checkpoint or --published")
        torch.set_num_threads(arguments.threads)
        output = arguments.output
        require_writable(output)
        ways = ways_to_integers(arguments.python)
        subjects = [published_subject()] if arguments.published else []
        subjects += [trained_subject(path, arguments.data_root, arguments.samples) for path in arguments.checkpoint]
        titles = [subject.title for subject in subjects]
        if twice := [title for title in titles if titles.count(title) > 1]:
            raise UserError(f"{titles.count(twice[0])} networks are called {twice[0]}: rename a checkpoint")
        console = Console()
        study = run_study(subjects, ways, output / "kept", console)
        write_file(output / "ptq.json", (json.dumps(study.to_dict(), indent=1) + "\n").encode())
        write_file(output / "ptq.md", ptq_markdown(study).encode())
        print_table(console, ptq_table(study), "signal to noise and metrics in integers")
        console.print(f"written: {output / 'ptq.md'} and ptq.json", soft_wrap=True)
        return 0
