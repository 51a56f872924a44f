"""The command `moesaic pathways`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from moesaic.argument_types import natural, positive
from moesaic.errors import UserError
from moesaic.model.commands.model_options import add_checkpoint, add_data_root, add_device, add_threads


class PathwaysCommand:
    """Measures a checkpoint under several budgets of experts."""

    name = "pathways"
    help = "measure each task's accuracy, bytes and MACs under budgets of experts, and write them as a page"

    @staticmethod
    def configure(parser: argparse.ArgumentParser) -> None:
        add_checkpoint(parser, "what to measure")
        parser.add_argument(
            "--budgets", type=_numbers, help="experts kept, such as 16,8,4 (default: all, 3/4, 1/2, 1/4 of them)"
        )
        parser.add_argument("--top-k", type=_numbers, help="experts per token, such as 2,1 (default: the model's)")
        parser.add_argument(
            "--scope",
            choices=("layer", "task"),
            default="layer",
            help="whether budgets count experts of each MoE block or of all blocks of a task (default layer)",
        )
        parser.add_argument(
            "--fine-tune", type=natural, default=0, metavar="STEPS", help="train each budget on (default 0)"
        )
        parser.add_argument(
            "--integers", action="store_true", help="also measure the integer network under each budget"
        )
        parser.add_argument("--samples", type=positive, help="held-out samples (default: the recipe's)")
        add_data_root(parser)
        add_device(parser)
        parser.add_argument(
            "--output", type=Path, default=Path("build/pathways"), help="directory (default build/pathways)"
        )
        add_threads(parser)

    @staticmethod
    def run(arguments: argparse.Namespace) -> int:
        import dataclasses

        import torch
        from rich.console import Console
        from rich.progress import Progress

        from moesaic.files import require_writable, write_file
        from moesaic.model.experiments.pathway_page import budget_table, pathway_chart, pathway_page
        from moesaic.model.experiments.pathway_study import grid, measure_budgets
        from moesaic.model.input_pipeline.held_out import calibration_images, open_validation
        from moesaic.model.pathways.usage import measure_usage
        from moesaic.model.quantisation.post_training import CALIBRATION_SCENES
        from moesaic.model.training import checkpoint
        from moesaic.model.training.distributed import choose_device
        from moesaic.pages.terminal import print_table

        torch.set_num_threads(arguments.threads)
        device = choose_device(arguments.device)
        require_writable(arguments.output)
        state, console = checkpoint.load(arguments.checkpoint), Console()
        recipe, c = state.recipe, state.recipe.model
        blocks = len(c.architecture.moe_blocks)
        if not blocks or not c.experts:
            raise UserError(
                f"checkpoint {arguments.checkpoint} has no experts: budgets are for networks that have some"
            )
        whole = c.experts * (blocks if arguments.scope == "task" else 1)
        experts = arguments.budgets or sorted({whole, 3 * whole // 4, whole // 2, max(whole // 4, 1)}, reverse=True)
        budgets = grid(experts, arguments.top_k or [c.top_k], arguments.scope, blocks)
        if arguments.samples:
            recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, validation=arguments.samples))
        model = state.build_model().eval().to(device)
        seen = calibration_images(recipe, arguments.data_root, CALIBRATION_SCENES)
        with Progress(console=console) as progress:
            sizes = len({budget.experts for budget in budgets})
            bar = progress.add_task("measuring", total=1 + len(budgets) + sizes * arguments.fine_tune)
            study = measure_budgets(
                model,
                recipe,
                measure_usage(model, seen),
                seen,
                open_validation(recipe, arguments.data_root),
                budgets,
                integers=arguments.integers,
                fine_tune_steps=arguments.fine_tune,
                data_root=arguments.data_root,
                advance=lambda: progress.advance(bar),
            )
        for task in study.metrics:
            print_table(console, budget_table(study, task), task)
        write_file(arguments.output / "pathways.json", (json.dumps(study.to_dict(), indent=1) + "\n").encode())
        write_file(arguments.output / "pathways.svg", pathway_chart(study).to_svg().encode())
        write_file(arguments.output / "pathways.html", pathway_page(study).encode())
        console.print(f"page: {arguments.output / 'pathways.html'}", soft_wrap=True)
        return 0


def _numbers(text: str) -> list[int]:
    """The positive integers in a comma-separated list."""
    return [positive(part) for part in text.split(",")]
