"""The page docs/results.md, written from the measurements of all runs that are done; what is not measured yet stays as the page has it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from moesaic.files import write_file
from moesaic.model.experiments.results_comparisons import (
    networks_section,
    paired_section,
    settings_section,
    tuning_section,
)
from moesaic.model.experiments.results_design import (
    BUDGETED,
    FEWEST_SEEDS,
    NETWORKS,
    QUANTISED,
    REFERENCE,
    SEEDS,
    SETTINGS,
    names_in,
)
from moesaic.model.experiments.results_records import Study
from moesaic.model.experiments.results_sections import (
    TIMED,
    bits_section,
    budgets_section,
    experts_sections,
    half_section,
    integers_section,
)
from moesaic.model.experiments.results_words import paragraph
from moesaic.model.recipes.recipe import load_recipe

_HEADING = "# Results on rendered scenes"
_FIRST_STUDY = "Multi-task networks of equal work"
"""A section that stands until this study has enough seeds of every network: three seeds at the recipes' rates, by the study before it."""
_NOTE = "*Of the study before this one*"
_SEEDS_NOTE = paragraph(
    f"{_NOTE}: seeds 0, 1 and 2 at the recipes' own learning rates, networks not compared seed by seed; ± is the standard deviation of the"
    f" sample, no interval. It stands until `make results` has {FEWEST_SEEDS} seeds."
)
_TIMES_NOTE = paragraph(f"{_NOTE}. It stands until `make results` takes the times again, at its end.")


def write_page(path: Path, study: Study, experts: dict | None) -> None:
    """Write the page. Sections that cannot be written from the arguments stay as the file at `path` has them.

    experts: as returned by `moesaic.model.experiments.expert_timing.measure_once`, None if not measured. UserError if the page cannot be
    written.
    """
    before = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_file(path, results_markdown(study, experts, sections_of(before)).encode())


def sections_of(text: str) -> dict[str, str]:
    """The sections of a page by title, without the notes that say where they come from."""
    sections = {}
    for part in text.split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        sections[title] = re.sub(rf"\A{re.escape(_NOTE)}.*?\n\n", "", body.strip(), flags=re.DOTALL)
    return sections


def results_markdown(study: Study, experts: dict | None, standing: Mapping[str, str] | None = None) -> str:
    """The page as Markdown. standing: sections of an earlier page, see `sections_of`; the other arguments as for `write_page`."""
    standing = standing or {}
    sections: dict[str, list[str]] = {
        "Networks": networks_section(study),
        "The multi-gate network against the others": paired_section(study),
        "More tasks, more data, longer": settings_section(study),
        "Learning rates": tuning_section(study),
    }

    def stands(title: str, note: str) -> None:
        if title in standing:
            sections[title] = [note, standing[title]]

    if min(len(study.seeds(name)) for name in NETWORKS) < FEWEST_SEEDS:
        stands(_FIRST_STUDY, _SEEDS_NOTE)
    for title, names, section in (
        ("Integers", QUANTISED, integers_section),
        ("Experts of 4 bits", (REFERENCE,), bits_section),
        ("Half of the experts", (REFERENCE,), half_section),
        ("Budgets changed after training", BUDGETED, budgets_section),
    ):
        seeds = study.further_of(*names)
        if len(seeds) >= FEWEST_SEEDS:
            sections[title] = section(study, seeds)
        else:
            stands(title, _SEEDS_NOTE)
    if experts is not None:
        sections |= experts_sections(experts)
    else:
        for title in TIMED:
            stands(title, _TIMES_NOTE)
    blocks = [_HEADING, _head(study)]
    for title, section in sections.items():
        blocks += [f"## {title}", *section]
    return "\n\n".join(blocks) + "\n"


def _head(study: Study) -> str:
    recipe = load_recipe(f"results/{REFERENCE}")
    model, training = recipe.model, recipe.training
    done, planned = len(study.runs), len(SEEDS) * sum(len(names_in(setting)) for setting in (None, *SETTINGS))
    state = (
        "All runs are done."
        if done == planned
        else f"So far {done:,} of {planned:,} runs are done: every row says how many seeds it has."
    )
    return paragraph(
        "Written by `make results`, which trains what is missing and measures it; runs that are done are kept in `build/results`, and the"
        " figures of each are published in [results.json](results.json).",
        state,
        "`moesaic results --plan` shows what remains, `--partial` writes the page without training.",
        "Recipes: `model/recipes/results/`; design: `model/experiments/results_design.py`.",
        f"A seed has its own weights, {training.pool:,} training scenes and {recipe.data.validation} held-out scenes of"
        f" {model.image_height}x{model.image_width} pixels, the same for all networks; a run is {training.steps:,} steps of"
        f" {training.batch} images unless it says otherwise.",
        "Numbers are the mean over the seeds ± half of the 95 % interval by Student's t.",
    )
