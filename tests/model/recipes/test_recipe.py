"""The recipes that come with the package: the sizes of the networks they are named after, and inheritance."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model import recipes
from moesaic.model.data import cityscapes, cityscapes_mtan, nyud, nyuv2_mtan, pascal_context
from moesaic.model.data.registry import DATASETS, class_names
from moesaic.model.data.scenes import PART_CLASSES, SEGMENTATION_CLASSES
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.importing.m3vit import OUTPUTS
from moesaic.model.importing.source_input import source_input
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import Recipe, load_recipe, recipe_entries, recipe_names
from moesaic.model.tasks.registry import find_task
from moesaic.spec.input_description import InputDescription
from moesaic.spec.output_description import OutputDescription
from tests.model.tasks.kinds import CHANNELS

RECIPES = Path(recipes.__file__).parent
PAPER = {"pascal-context": (512, 512), "nyud": (480, 640), "cityscapes": (128, 256), "cityscapes-mtan": (128, 256)}
PAPER |= {"nyuv2-mtan": (288, 384)}
CLASSES = {
    "pascal-context": {"segmentation": len(pascal_context.CLASSES), "parts": len(pascal_context.PART_CLASSES)},
    "nyud": {"segmentation": len(nyud.CLASSES)},
    "cityscapes": {"segmentation": len(cityscapes.CLASSES)},
    "cityscapes-mtan": {"segmentation": len(cityscapes_mtan.CLASSES)},
    "nyuv2-mtan": {"segmentation": len(nyuv2_mtan.CLASSES)},
    "scenes": {"segmentation": len(SEGMENTATION_CLASSES), "parts": len(PART_CLASSES)},
    "imagefolder": {"classification": 1000},  # ImageNet's
}
TWIN = "-light"
"""End of the name of a recipe for the accelerator, whose network starts from that of the recipe named so far."""
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 12), "base": (768, 12, 12), "large": (1024, 24, 16)}
SIX_HEADS = {"nyud/stl-small-depth", "nyud/stl-small-segmentation"}
"""In the authors' configuration files, beside those named after DeiT."""


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_fits_its_data_set(name):
    recipe = load_recipe(name)
    model, data = recipe.model, recipe.data.name
    for task in model.tasks:
        find_task(task.name, task.channels, recipe.training.losses)
        assert task.channels == (CLASSES[data] | CHANNELS)[task.name]
    if "/" not in name or name.startswith(("results/", "scenes/", "pretraining/")):
        assert data == ("imagefolder" if name.startswith("pretraining/") else "scenes")
        return
    directory, _, rest = name.partition("/")
    assert data == directory
    twin = name.endswith(TWIN)
    if not twin:
        assert (model.image_height, model.image_width) == ((448, 576) if "448x576" in name else PAPER[directory])
    size = next(size for size in SIZES if size in rest.split("-"))
    width, depth, heads = SIZES[size]
    six = "deit" in rest.split("-") or name.removesuffix(TWIN) in SIX_HEADS
    assert (model.width, model.depth, model.heads) == (width, depth, 6 if six else heads)
    assert model.mlp_hidden == 4 * model.width
    assert (model.experts == 0) == (not rest.startswith("m3vit") and "moe" not in rest)
    assert (len(model.tasks) == 1) == rest.startswith("stl")
    if model.experts:
        assert (model.experts, model.top_k * model.expert_hidden) == (16, model.mlp_hidden if size != "tiny" else 768)
        # The authors sum what we take the mean of, importance and load of every gate's routers, with variances over E - 1.
        passes = 1 if model.gate == "single" else len(model.tasks)
        gates = passes * len(model.architecture.moe_blocks)
        assert recipe.training.balance_weight == pytest.approx(0.01 * 2 * gates * 16 / 15)
        assert model.gate_noise == "none"
    assert model.head == ("light" if twin else "setr-pup")
    assert recipe.training.losses == ("mtan" if directory == "nyuv2-mtan" else "papers")


def test_every_row_has_its_baselines():
    names = set(recipe_names())
    for directory in PAPER:
        for name in (name for name in names if name.startswith(f"{directory}/m3vit-") and not name.endswith(TWIN)):
            assert any(name.startswith(f"{directory}/m3vit-{size}") for size in SIZES)
            assert f"{directory}/mtl-{name.split('-')[-1] if name.endswith(tuple(SIZES)) else 'small'}" in names
    tasks = {name: set(load_recipe(name).model.task_names) for name in names}
    rows = (("pascal-context", "small"), ("nyud", "small"), ("nyud", "base"), ("cityscapes", "tiny"))
    for directory, size in (*rows, ("cityscapes-mtan", "tiny")):
        for task in tasks[f"{directory}/m3vit-{size}"]:
            assert tasks[f"{directory}/stl-{size}-{task}"] == {task}


def test_gates_are_ablated():
    gates = {"": "multi", "-single-gate": "single", "-task-conditioned": "task-conditioned"}
    for directory in ("pascal-context", "nyud"):
        for suffix, gate in gates.items():
            assert load_recipe(f"{directory}/m3vit-small{suffix}").model.gate == gate


@pytest.mark.parametrize(
    ("name", "millions"),
    [("nyud/mtl-tiny", 5.5), ("nyud/mtl-small", 21.6), ("nyud/mtl-base", 85.6), ("nyud/mtl-large", 303)],
)
def test_backbones_have_the_number_of_weights_that_deit_and_vit_state(name, millions):
    with torch.device("meta"):
        model = M3ViT(load_recipe(name).model)
    backbone = sum(parameter.numel() for parameter in model.blocks.parameters())
    patches = sum(parameter.numel() for parameter in model.patch_embedding.parameters())
    assert (backbone + patches) / 1e6 == pytest.approx(millions, rel=0.02)


def test_networks_of_the_results_cost_the_same():
    models = {
        name: load_recipe(f"results/{name}").model
        for name in ("multi-gate", "single-gate", "task-conditioned", "dense")
    }
    for model in models.values():
        experts = model.top_k * 2 * model.width * model.expert_hidden + model.width * model.experts
        assert (experts or 2 * model.width * model.mlp_hidden) == 2 * model.width * model.mlp_hidden
    assert not models["dense"].experts


def test_a_recipe_replaces_and_adds_entries_of_its_base(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "heir.toml").write_text(
        'base = "sub/base.toml"\n[training]\nsteps = 7\naccumulate = 2\n[data]\nvalidation = 5\n'
    )
    demo = load_recipe("demo")
    text = "[model]\nimage_height = 8\nimage_width = 8\npatch = 8\nwidth = 8\ndepth = 2\nheads = 2\nmlp_hidden = 8\n"
    text += 'experts = 2\ntop_k = 1\nexpert_hidden = 4\ntasks = [{ name = "depth", channels = 1 }]\n'
    text += "[training]\nsteps = 9\nbatch = 4\nlearning_rate = 1e-3\nwarmup = 1\n"
    (tmp_path / "sub" / "base.toml").write_text(text)
    base, heir = load_recipe(str(tmp_path / "sub" / "base.toml")), load_recipe(str(tmp_path / "heir.toml"))
    assert heir.model == base.model
    assert (base.training.steps, heir.training.steps, heir.training.batch, heir.training.accumulate) == (9, 7, 4, 2)
    assert (base.data, heir.data.validation) == (demo.data, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('base = "a.toml"\n', "a.toml is based on itself"),
        ('base = "none.toml"\n', "none.toml cannot be read"),
        ("base = 3\n", r"base \(3\).*is not text"),
        ("base = []\n", r"base \(\[\]\).*name a .toml file, or a list of them"),
        ('base = ["a.toml"]\n', "a.toml is based on itself"),
        ("[model\n", "is not TOML"),
    ],
    ids=["cycle", "missing", "number", "empty", "cycle-in-a-list", "malformed"],
)
def test_a_base_that_cannot_be_used_is_named(tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(UserError, match=message):
        load_recipe(str(tmp_path / "a.toml"))


@pytest.mark.parametrize(
    ("section", "entry", "message"),
    [
        ("training", {"batch": 8, "accumulate": 3}, r"batch \(8\) is not a multiple of accumulate \(3\)"),
        ("training", {"optimizer": "adam"}, r"optimizer \('adam'\) is unknown: choose muon, adamw, sgd"),
        ("training", {"precision": "int8"}, r"precision \('int8'\) is unknown"),
        ("training", {"select": "edges"}, "unknown task 'edges'"),
        ("training", {"experts_sharded": 1}, r"experts_sharded \(1\) is unknown: choose False, True"),
        (
            "training",
            {"reference": {"depth": 1.0}},
            "reference is for depth, not for the tasks .*: correct normals, segmentation",
        ),
        ("training", {"reference": {"depth": 0.0}}, "reference of depth is not above 0"),
        ("training", {"reference": {"depth": "low"}}, "reference has depth = 'low', which is no number"),
        ("training", {"reference": 3}, r"reference \(3\) is no table of names and numbers"),
        ("training", {"initialisation": "deit"}, r"initialisation \('deit'\) is unknown: choose pytorch, m3vit"),
        ("training", {"upcycle": 0}, r"upcycle \(0\) is unknown: choose False, True"),
        ("training", {"batch_per": "gpu"}, r"batch_per \('gpu'\) is unknown: choose update, process"),
        ("training", {"decayed": "none"}, r"decayed \('none'\) is unknown: choose matrices, all"),
        ("training", {"schedule_period": 0}, r"schedule_period \(0\) is not an integer from 1"),
        (
            "training",
            {"rates": {"gates": 2}},
            "rates has 'gates', which is no part of a network: choose backbone, experts",
        ),
        ("training", {"rates": {"heads": -1}}, "rates of heads is -1, it must be a number from 0"),
        ("training", {"rates": {"heads": "fast"}}, "rates has heads = 'fast', which is no number"),
        ("training", {"layer_decay": 0.0}, r"layer_decay \(0.0\) is not above 0 to 1"),
        ("training", {"layer_decay": 1.5}, r"layer_decay \(1.5\) is not above 0 to 1"),
        ("training", {"ema_decay": 1.0}, r"ema_decay \(1.0\) is not below 1"),
        ("training", {"label_smoothing": 1}, r"label_smoothing \(1\) is not below 1"),
        (
            "training",
            {"label_smoothing": 0.1},
            r"label_smoothing \(0.1\) is for classification, which is none of the tasks",
        ),
        ("data", {"largest_class_share": 0.75}, "limits crops, but scenes are not cropped: leave it out"),
        ("data", {"name": "nyud", "augment": False, "largest_class_share": 0.75}, "augment = false crops nothing"),
        ("data", {"augmentation": "m3vit"}, "augmentation 'm3vit' is for nyud, pascal-context, .*, not for scenes"),
        ("data", {"augmentation": "deit"}, r"augmentation \('deit'\) is unknown: choose usual, m3vit"),
        ("data", {"largest_class_share": 0}, r"largest_class_share \(0\) is not a number above 0 to 1"),
        ("data", {"name": "imagenet"}, r"name \('imagenet'\) is unknown: choose cityscapes, cityscapes-mtan"),
        ("data", {"validation": 0}, "scenes have no end"),
        ("surprise", {}, "unknown section 'surprise'"),
    ],
    ids=lambda value: next(iter(value), "") if isinstance(value, dict) else None,
)
def test_wrong_settings_are_named(section, entry, message):
    demo = load_recipe("demo")
    data = demo.to_dict()
    with pytest.raises(UserError, match=message):
        type(demo).from_dict({**data, section: {**data.get(section, {}), **entry}})


def test_the_recipes_tasks_have_the_channels_of_their_data_sets():
    seen = set()
    for name in (name for name in recipe_names() if not name.startswith("pretraining/")):
        recipe = load_recipe(name)
        seen.add(recipe.data.name)
        channels = {task: len(names) for task, names in class_names(recipe.data.name).items()} | CHANNELS
        assert all(task.channels == channels[task.name] for task in recipe.model.tasks), name
    assert seen == set(DATASETS.names) - {"imagefolder", "folder"}  # whose classes are whatever somebody has


def test_recipes_with_edges_validate_on_few_images():
    """The metric of edges takes seconds an image."""
    counts = {}
    for name in recipe_names():
        recipe = load_recipe(name)
        if "edges" in recipe.model.task_names and recipe.training.validate_every:
            counts[name] = recipe.data.validation
    assert {"nyud/mtl-small-four-tasks", "pascal-context/m3vit-base", "pascal-context/stl-small-edges"} <= counts.keys()
    assert all(1 <= count <= 128 for count in counts.values()), counts


DESCRIBED = """
base = "{base}"
[model]
tasks = [
    {{ name = "depth", channels = 1, output = {{ encoding = "linear", unit = 0.001 }} }},
    {{ name = "normals", channels = 3, output = {{ axes = ["right", "up", "viewer"] }} }},
]
[model.input]
mean = [0.485, 0.456, 0.406]
deviation = [0.229, 0.224, 0.225]
resize = "pad"
"""


def test_a_recipe_describes_input_and_outputs(tmp_path):
    base = tmp_path / "base.toml"
    base.write_text((RECIPES / "demo.toml").read_text())
    (tmp_path / "own.toml").write_text(DESCRIBED.format(base="base.toml"))
    recipe = load_recipe(str(tmp_path / "own.toml"))
    assert recipe.model.input == InputDescription((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "pad")
    assert recipe.model.task("depth").output == OutputDescription("linear", 0.001)
    assert recipe.model.task("normals").output.axes == ("right", "up", "viewer")
    stated = recipe.to_dict()
    assert Recipe.from_dict(stated) == recipe
    assert stated["model"]["input"].keys() == {"mean", "deviation", "resize"}
    usual = load_recipe("demo").to_dict()
    assert "input" not in usual["model"] and not any("output" in task for task in usual["model"]["tasks"])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('resize = "pad"', 'resize = "fill"', "input.resize is 'fill': choose auto, crop, pad, stretch"),
        ('resize = "pad"', 'size = "pad"', "input has an unknown entry 'size'"),
        ('"linear"', '"metres"', "output.encoding is 'metres': choose log, linear"),
    ],
)
def test_a_wrong_description_is_named(tmp_path, old, new, words):
    (tmp_path / "base.toml").write_text((RECIPES / "demo.toml").read_text())
    (tmp_path / "own.toml").write_text(DESCRIBED.format(base="base.toml").replace(old, new))
    with pytest.raises(UserError, match=words):
        load_recipe(str(tmp_path / "own.toml"))


ADDED = {
    "model": {"drop_path": 0.1},
    "training": {
        "initialisation": "m3vit",
        "upcycle": False,
        "batch_per": "process",
        "decayed": "all",
        "schedule_period": 50,
        "rates": {"backbone": 0.1, "heads": 2.0},
        "layer_decay": 0.75,
        "ema_decay": 0.999,
    },
    "data": {"name": "nyud", "augmentation": "m3vit", "largest_class_share": 0.75},
}


def test_added_entries_come_back_and_are_left_out_at_their_defaults():
    plain = load_recipe("demo").to_dict()
    assert not any(name in plain[section] for section, entries in ADDED.items() for name in entries.keys() - {"name"})
    full = {section: plain[section] | entries for section, entries in ADDED.items()}
    recipe = Recipe.from_dict(full)
    assert recipe.training.rate_of("backbone") == 0.1 and recipe.training.rate_of("routers") == 1.0
    stated = recipe.to_dict()
    assert Recipe.from_dict(stated) == recipe
    assert all(stated[section][name] == value for section, entries in ADDED.items() for name, value in entries.items())


def test_a_limit_of_a_class_needs_a_segmentation():
    depth = load_recipe("nyud/stl-small-depth").to_dict()
    with pytest.raises(
        UserError, match=r"largest_class_share \(0.75\) is for segmentation, which is none of the tasks depth"
    ):
        Recipe.from_dict({**depth, "data": {**depth["data"], "largest_class_share": 0.75}})


@pytest.mark.parametrize("name", [name for name in recipe_names() if load_recipe(name).model.head == "setr-pup"])
def test_every_recipe_that_the_accelerator_does_not_run_has_a_twin(name):
    """It differs in head, image size, and how long and how fast the heads are trained, so its network starts from the other one's."""
    recipe, twin = load_recipe(name), load_recipe(name + TWIN)
    sizes = {entry: getattr(twin.model, entry) for entry in ("head_resolution", "image_height", "image_width")}
    assert twin.model == dataclasses.replace(recipe.model, head="light", **sizes)
    assert twin.model.has_integer_form and twin.data == recipe.data
    changed = {entry: getattr(twin.training, entry) for entry in ("steps", "validate_every", "rates")}
    assert dataclasses.replace(recipe.training, **changed) == twin.training
    with torch.device("meta"):
        source, model = M3ViT(recipe.model).state_dict(), M3ViT(twin.model).state_dict()
    shared = [entry for entry in model if not entry.startswith(("heads.", "norm.", "position"))]
    assert all(model[entry].shape == source[entry].shape for entry in shared)


UPSTREAM = {  # images, images a process, epochs of the configuration files; README.md starts two processes
    "nyud/m3vit-small": (795, 8, 100),
    "nyud/m3vit-small-deit": (795, 8, 100),
    "nyud/m3vit-base": (795, 8, 100),
    "nyud/m3vit-small-four-tasks": (795, 4, 100),
    "nyud/stl-small-depth": (795, 4, 100),
    "pascal-context/m3vit-small": (4998, 8, 100),
    "cityscapes/m3vit-tiny": (2975, 4, 100),
    "cityscapes-mtan/m3vit-tiny": (2975, 4, 100),
}


@pytest.mark.parametrize("name", UPSTREAM)
def test_steps_and_rates_follow_from_the_authors_files(name):
    images, batch, epochs = UPSTREAM[name]
    training = load_recipe(name).training
    of_epoch = math.ceil(math.ceil(images / 2) / batch)  # DistributedSampler fills up, the loader keeps the last batch
    assert (training.batch, training.batch_per, training.schedule_period) == (batch, "process", of_epoch)
    assert training.steps == epochs * of_epoch
    assert (training.optimizer, training.momentum, training.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (training.decayed, training.schedule, training.warmup, training.gradient_clip) == ("all", "poly", 0, 0)
    assert (training.initialisation, training.upcycle, training.rate_of("experts")) == ("m3vit", False, 2.0)
    assert load_recipe(name).data.augmentation == "m3vit"


@pytest.mark.parametrize("name", [*UPSTREAM, "pascal-context/mtl-base", "nyud/mtl-large"])
def test_inputs_and_outputs_are_those_of_imported_networks(name):
    recipe = load_recipe(name)
    found = source_input(ForeignCheckpoint("x", {}), "m3vit", recipe.data.name)
    assert recipe.model.input == found.description
    outputs = {task.kind: task.output for task in recipe.model.tasks}
    assert outputs.get("depth", OUTPUTS["depth"]) == OUTPUTS["depth"]


def test_a_list_of_bases_is_taken_in_its_order(tmp_path):
    (tmp_path / "one.toml").write_text('[model]\nwidth = 1\ndepth = 1\n[data]\nname = "nyud"\n')
    (tmp_path / "two.toml").write_text("[model]\nwidth = 2\nheads = 2\n")
    (tmp_path / "heir.toml").write_text('base = ["one.toml", "two.toml"]\n[model]\nheads = 3\n')
    found = recipe_entries(str(tmp_path / "heir.toml"))
    assert found == {"model": {"width": 2, "depth": 1, "heads": 3}, "data": {"name": "nyud"}}
