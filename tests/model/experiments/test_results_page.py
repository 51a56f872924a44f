"""The page says what was measured: every sentence and every bold figure follows from intervals, corrected p-values and numbers of seeds."""

import pytest

from moesaic.model.experiments.results_design import FEWEST_SEEDS, NETWORKS, REFERENCE, SEEDS, SETTINGS
from moesaic.model.experiments.results_page import results_markdown, sections_of, write_page
from moesaic.model.experiments.results_records import Study
from moesaic.model.experiments.results_sections import EXPERT_BITS
from tests.model.experiments.synthetic_study import EXPERTS, study

FEW = FEWEST_SEEDS - 1


def wobbling(mean, size=0.02):
    """A gain that scatters by seed around its mean."""
    return lambda seed: mean + size * (-1) ** seed


def section(title, *arguments, **options):
    """A section of the page, its paragraphs and points in one line each."""
    text = sections_of(results_markdown(study(*arguments, **options), EXPERTS))[title]
    return text.replace("\n  ", " ")


def against(name, text):
    return next(line for line in text.splitlines() if line.startswith(f"| {NETWORKS[name].title} |"))


def test_networks_are_compared_with_single_tasks_of_the_same_seed():
    text = section("Networks", {REFERENCE: 1.1})
    gain = 100 * (0.1 + 2 * (1 - 1 / 1.1)) / 3
    assert f"| {gain:.2f} ± 0.00 | 100 |" in against(REFERENCE, text)
    assert against("dense", text).startswith("| dense, equal work | 10 | x 1 | 10.00 M | 250 k | 0.5450 ± 0.0217 |")
    assert "takes 3,280 steps, which took 100 % of the multi-gate network's time." in " ".join(text.split())
    assert "| 0 | 300 in all |" in text and "varies by 0.0333, its difference" in " ".join(text.split())
    assert "**" not in text


def test_a_gain_that_every_seed_shows_is_bold_and_stated():
    text = section("The multi-gate network against the others", {REFERENCE: wobbling(1.1)})
    row = against("dense", text)
    assert "| 10 |" in row and row.count("**") == 2 and row.endswith("| < 0.001 | < 0.001 |")
    assert "- Against “dense, equal work” it is better: a gain of +" in text
    assert "Experts earn their place on these scenes, both at equal work of a frame and at equal training time." in text
    assert "Learned routing is better than both controls" in text


def test_a_gain_that_seeds_do_not_agree_on_is_neither():
    text = section("The multi-gate network against the others", {REFERENCE: wobbling(1.01, 0.1)})
    assert "**" not in text and "no difference is shown; gains of -" in text and "% are not excluded" in text
    assert (
        "Experts do not earn their place on these scenes: the dense network of equal work is not shown to be worse."
        in text
    )
    assert "Learned routing is not shown to be better than both controls" in text.replace("\n", " ")


def test_an_interval_without_zero_is_not_enough_if_the_corrected_p_is_not():
    by_chance = wobbling(1.012, 0.015)  # p is 0.035 for one comparison
    text = section("The multi-gate network against the others", {REFERENCE: by_chance})
    row = against("dense", text)
    p, corrected = (float(cell) for cell in row.strip("| ").split(" | ")[-2:])
    assert p < 0.05 < corrected and "(+" in row and "**" not in row


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        ({}, "do not earn their place on these scenes: the dense network of equal work is not shown to be worse"),
        ({"dense": 1.2}, "do not earn their place on these scenes: the dense network of equal work is better"),
        ({REFERENCE: 1.1, "dense-time": 1.2}, "that is trained for as long is better"),
        ({REFERENCE: 1.1, "dense-time": 1.1}, "that is trained for as long is not shown to be worse"),
        ({REFERENCE: 1.1, "dense-time": 1.05}, "both at equal work of a frame and at equal training time"),
    ],
    ids=["equal", "dense better", "longer better", "longer as good", "experts better"],
)
def test_whether_experts_earn_their_place_follows_from_the_two_dense_networks(gains, words):
    text = " ".join(section("The multi-gate network against the others", gains).split())
    assert f"{words}." in text


@pytest.mark.parametrize("control", ["position", "random"])
def test_routing_has_to_be_better_than_both_controls(control):
    text = section("The multi-gate network against the others", {REFERENCE: 1.1, control: 1.1})
    assert "Learned routing is not shown to be better than both controls" in text.replace("\n", " ")


def test_with_too_few_seeds_nothing_is_bold_and_nothing_concluded():
    few = study({REFERENCE: wobbling(1.1)}, SEEDS[:FEW])
    text = results_markdown(few, None)
    assert "**" not in text and "not known yet" in text and "it is better: a" not in text
    assert against("dense", sections_of(text)["The multi-gate network against the others"]).startswith(
        f"| dense, equal work | {FEW} |"
    )
    assert f"{FEW} of 10 seeds have both" in text and "Integers" not in sections_of(text)
    assert f"So far {len(few.runs)} of " in text
    alone = " ".join(results_markdown(study(seeds=SEEDS[:1]), None).split())
    assert "| dense, equal work | 1 | 0.00 | 0.00 | 0.00 | +0.00 | – | – |" in alone


def test_a_page_of_nothing_says_so():
    text = results_markdown(Study(), None)
    assert (
        "So far 0 of " in text
        and "0 of 12 are tuned so far" in text
        and "In no setting are there enough seeds yet" in text
    )


def test_settings_say_where_experts_are_better():
    gains = {"six-tasks/multi-gate": wobbling(1.2), "six-tasks/dense-time": wobbling(1.2)}
    text = " ".join(section("More tasks, more data, longer", gains).split())
    title = SETTINGS["six-tasks"].title
    assert f"At equal work of a frame the multi-gate network is shown to be better in “{title}”, of 3 that have" in text
    assert "At equal training time the multi-gate network is shown to be better in no setting, of 3" in text
    assert (
        f"| {title} | 6 | 8,192 | 2,400 | **+" in text
        and "| the main one | 3 | 2,048 | 1,200 | +0.00 to +0.00 (10) |" in text
    )


def test_factors_beyond_the_first_have_columns():
    made = study()
    made.tuning["dense"] = {1.0: 0.0, 0.5: -1.0, 0.25: -2.0, 2.0: 1.25, 4.0: -3.0}
    text = sections_of(results_markdown(made, EXPERTS))["Learning rates"]
    assert against("dense", text) == "| dense, equal work | -2.00 | -1.00 | +0.00 | +1.25 | -3.00 | x 2 |"
    assert against("random", text).endswith(" | +0.00 | -1.00 | – | x 1 |") and "12 of 12 are tuned so far" in text


def test_integers_and_bits_are_compared_with_float():
    text = " ".join(section("Integers").split())
    assert "0.20 ± 0.00 |" in text and "99.00 ± 0.00 %" in text
    assert "int8 costs at most 0.20 % (upper ends of the intervals); 2 of 6 rows are shown to lose." in text
    lines = section("Experts of 4 bits").splitlines()
    found = [line for line in lines if line.startswith(tuple(f"| {name} |" for name in EXPERT_BITS))]
    assert len(found) == len(EXPERT_BITS)
    assert found[1] == "| 4 | 100 ± 0 | 250 ± 0 | – | 0.00 ± 0.00 | 0.20 ± 0.00 | 0.00 ± 0.00 |"
    assert found[2].startswith("| auto, 0.5 dB | 62 ± 0 | 250 ± 0 | 0.88 ± 0.00 | 0.00")
    assert "4 bits instead of 8 costs at most 0.20 %" in " ".join(lines)


def test_half_of_the_experts_and_budgets_are_compared_with_all():
    lines = section("Half of the experts").splitlines()
    assert next(line for line in lines if line.startswith("| all, 8 experts | depth")).endswith("| 5.00 ± 0.00 |")
    assert "without training costs at most 5.00 %" in " ".join(lines)
    text = section("Budgets changed after training")
    assert "| 8, 4 | 1.67 ± 0.00 | 0.67 ± 0.00 |" in text
    assert "loses less at (8, 4), and more at no budget" in " ".join(text.split())


def test_the_page_has_what_experts_cost_and_how_it_was_timed():
    text = results_markdown(study(), EXPERTS)
    assert "`m3vit_tiny`, weights not trained, 2 threads of PyTorch 9.9, the median of 7" in " ".join(text.split())
    sections = text.split("\n## ")[-3:]
    assert [part.partition("\n")[0] for part in sections] == [
        "What experts cost in training",
        "The expert layer and simpler forms of it",
        "One task alone",
    ]
    for part, title, row in zip(
        sections,
        ("A step (ms)", "A layer (tokens / s)", "Tasks, one image"),
        ("| passes | 1.15 |", "| a loop | 46,740 |", "| depth | 0.51 |\n| all | 1.00 |"),
    ):
        assert f"\n{title}" in part and row in part


EARLIER = """# Results

## Multi-task networks of equal work

Three seeds.

## Integers

Earlier integers.

## What experts cost in training

Earlier times.
"""


def test_what_is_not_measured_stays_as_the_page_has_it(tmp_path):
    path = tmp_path / "results.md"
    path.write_text(EARLIER)
    for _ in range(2):  # the second time from its own page
        write_page(path, study(seeds=SEEDS[:FEW]), None)
        text = path.read_text()
        assert text.count("*Of the study before this one*") == 3
        for title, words in (("Multi-task networks of equal work", "Three seeds."), ("Integers", "Earlier integers.")):
            assert sections_of(text)[title] == words
        assert "Half of the experts" not in text
    write_page(path, study(), EXPERTS)
    text = path.read_text()
    assert (
        "study before" not in text and "Multi-task networks of equal work" not in text and "All runs are done." in text
    )


def test_lines_end_at_140_characters_except_in_tables():
    text = results_markdown(study(), EXPERTS, sections_of(EARLIER))
    assert max(len(line) for line in text.splitlines() if not line.startswith("|")) <= 140
