"""Classifiers of other libraries: the logits that transformers itself computes, and what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from moesaic.errors import UserError
from moesaic.model.commands.evaluate import EvaluateCommand
from moesaic.model.commands.export import ExportCommand
from moesaic.model.commands.import_ import ImportCommand
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint
from moesaic.model.importing.plain_vit import read_names
from moesaic.model.network.vit import normalise
from moesaic.model.training import checkpoint
from moesaic.spec.bundle import load_bundle
from tests.model.calling import call
from tests.model.importing.test_plain_vit import timm_state

transformers = pytest.importorskip(
    "transformers", reason="transformers is missing: pip install -c constraints.txt -e .[test]"
)

SIDE, PATCH, CLASSES = 4, 8, 5
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "image_size": SIDE * PATCH,
    "patch_size": PATCH,
    "num_labels": CLASSES,
}
FAMILIES = {
    "vit": (transformers.ViTConfig, transformers.ViTForImageClassification, "class"),
    "deit": (transformers.DeiTConfig, transformers.DeiTForImageClassification, "class"),
    "distilled": (transformers.DeiTConfig, transformers.DeiTForImageClassificationWithTeacher, "class+distillation"),
    "dinov2": (transformers.Dinov2Config, transformers.Dinov2ForImageClassification, "class+mean"),
    "registers": (
        transformers.Dinov2WithRegistersConfig,
        transformers.Dinov2WithRegistersForImageClassification,
        "class+mean",
    ),
    "ijepa": (transformers.IJepaConfig, transformers.IJepaForImageClassification, "mean"),
}


def network(family, **changes):
    """A network of the library in which every weight is random."""
    configuration, model, _ = FAMILIES[family]
    source, generator = model(configuration(**SIZES, **changes)).eval(), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in source.named_parameters():
            value.copy_(0.2 * torch.randn(value.shape, generator=generator))
            if value.ndim == 1 and ("norm" in name or "lambda" in name) and not name.endswith("bias"):
                value.add_(1)
    return source


def saved(source, directory, **settings):
    source.save_pretrained(directory)
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return directory


@pytest.fixture
def images():
    shape = (3, SIDE * PATCH, SIDE * PATCH, 3)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8).numpy()


def library_logits(source, images, model):
    """Of images normalised as the imported model describes."""
    with torch.no_grad():
        return source(normalise(images, model.configuration.input)).logits


def loaded(path):
    state = checkpoint.load(path)
    return state, state.build_model().eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_are_those_of_the_library(tmp_path, images, family):
    source, out = network(family), tmp_path / "out.safetensors"
    assert call(ImportCommand, saved(source, tmp_path / "model"), "--format", "transformers", "--checkpoint", out) == 0
    state, model = loaded(out)
    (task,) = state.recipe.model.tasks
    assert (task.name, task.kind, task.channels, task.pooling) == ("classification",) * 2 + (
        CLASSES,
        FAMILIES[family][2],
    )
    assert task.class_names == () and state.finished and state.recipe.data.name == "imagefolder"
    expected = library_logits(source, images, model)
    with torch.no_grad():
        found = model(normalise(images, model.configuration.input), "classification")
    assert expected.std() > 0.1 and (found - expected).abs().max() < 1e-4


def test_pictures_without_labels_are_enough_to_quantise(tmp_path, capsys):
    """There is no data set with all classes of a published network at hand: accuracy is then not measured, all else is."""
    out, pictures, bundle = tmp_path / "out.safetensors", tmp_path / "pictures", tmp_path / "bundle"
    words = (saved(network("distilled"), tmp_path / "model"), "--format", "transformers", "--checkpoint", out)
    call(ImportCommand, *words, "--features", "last")
    pictures.mkdir()
    for n, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (3, 40, 50, 3), np.uint8)):
        Image.fromarray(pixels).save(pictures / f"{n}.png")
    with pytest.raises(UserError, match=r"--pictures is for quantised graphs, .+ is none"):
        call(ImportCommand, *words, "--pictures", pictures)
    assert call(ExportCommand, "--checkpoint", out, "--pictures", pictures, "--output", bundle) == 0
    task = load_bundle(bundle).tasks["classification"]
    assert (task.pooling, task.channels, task.metrics) == ("class+distillation", CLASSES, {})
    assert call(EvaluateCommand, "--checkpoint", out, "--pictures", pictures) == 0
    exported, evaluated = capsys.readouterr().out.split("bundle: ")
    for printed in (exported, evaluated):
        assert "blocks.1" in printed and "accuracy on the calibration pictures" in printed
    with pytest.raises(UserError, match="imagefolder lies in files: give the directory"):
        call(EvaluateCommand, "--checkpoint", out)


def test_class_names_are_those_of_the_settings(tmp_path):
    names = ["tench", "goldfish", "shark", "ray", "cock"]
    directory = saved(network("vit"), tmp_path / "model", id2label={str(n): name for n, name in enumerate(names)})
    out = tmp_path / "out.safetensors"
    call(ImportCommand, directory, "--format", "transformers", "--checkpoint", out)
    assert list(checkpoint.load(out).recipe.model.tasks[0].class_names) == names


def own_recipe(path, tasks):
    sizes = {
        "width": 24,
        "depth": 2,
        "heads": 3,
        "mlp_hidden": 40,
        "patch": PATCH,
        "image_height": 32,
        "image_width": 32,
    }
    lines = [
        f"{name} = {value}" for name, value in (sizes | dict.fromkeys(("experts", "top_k", "expert_hidden"), 0)).items()
    ]
    text = [
        "[model]",
        *lines,
        f"tasks = [{tasks}]",
        "[training]",
        "steps = 9",
        "batch = 1",
        "learning_rate = 1e-3",
        "warmup = 1",
    ]
    path.write_text("\n".join(text))
    return path


def test_a_recipe_may_have_more_tasks_and_names_of_its_own(tmp_path, images):
    source, out = network("distilled"), tmp_path / "out.safetensors"
    recipe = own_recipe(
        tmp_path / "own.toml",
        '{ name = "depth", channels = 1 },'
        ' { name = "animals", kind = "classification", channels = 5, class_names = ["a", "b", "c", "d", "e"] }',
    )
    words = (saved(source, tmp_path / "model"), "--format", "transformers", "--recipe", recipe, "--checkpoint", out)
    assert call(ImportCommand, *words, "--features", "0,last") == 0
    state, model = loaded(out)
    assert [task.name for task in state.recipe.model.tasks] == ["depth", "animals", "features_0", "features"]
    assert state.recipe.model.task("animals").class_names == tuple("abcde")
    with torch.no_grad():
        assert (
            model(normalise(images, model.configuration.input), "animals") - library_logits(source, images, model)
        ).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (
            '{ name = "depth", channels = 1 }',
            r'the recipe 0 tasks for it: put \{ name = "classification", channels = 5 \}',
        ),
        (
            '{ name = "classification", channels = 7 }',
            "has 5 classes, task classification of the recipe 7: set channels = 5",
        ),
    ],
)
def test_a_classifier_that_the_recipe_has_no_place_for_is_not_dropped(tmp_path, tasks, message):
    recipe = own_recipe(tmp_path / "own.toml", tasks)
    words = (saved(network("vit"), tmp_path / "model"), "--format", "transformers", "--recipe", recipe)
    with pytest.raises(UserError, match=message):
        call(ImportCommand, *words)
    out = tmp_path / "out.safetensors"
    assert call(ImportCommand, *words, "--backbone-only", "--checkpoint", out) == 0
    assert checkpoint.load(out).recipe.model.tasks[0].name in tasks


def test_an_encoder_alone_gives_the_features_of_the_library(tmp_path, images, capsys):
    source, out = network("registers"), tmp_path / "out.safetensors"
    words = (saved(source, tmp_path / "model"), "--format", "transformers", "--backbone-only", "--checkpoint", out)
    assert call(ImportCommand, *words, "--features", "0,last") == 0
    state, model = loaded(out)
    assert [task.name for task in state.recipe.model.tasks] == ["features_0", "features"] and state.finished
    pixels = normalise(images, model.configuration.input)
    with torch.no_grad():
        backbone = source.dinov2_with_registers
        hidden = backbone(pixels, output_hidden_states=True).hidden_states
        for task, tokens in (("features_0", hidden[1]), ("features", hidden[2])):
            assert (model(pixels, task) - backbone.layernorm(tokens)).abs().max() < 1e-4
    assert "a whole model" in capsys.readouterr().out
    assert call(ImportCommand, *words, "--features", "0") == 0
    assert checkpoint.load(out).recipe.model.depth == 1


def test_a_source_without_a_classifier_needs_tasks(tmp_path):
    source = transformers.ViTModel(transformers.ViTConfig(**SIZES), add_pooling_layer=False)
    words = (saved(source, tmp_path / "model"), "--format", "transformers")
    with pytest.raises(
        UserError, match="nothing to run: the source has no classifier; state --features, or a --recipe"
    ):
        call(ImportCommand, *words)
    with pytest.raises(UserError, match="features of block 2 are asked for, the source has blocks 0 to 1"):
        call(ImportCommand, *words, "--features", "2")
    with pytest.raises(SystemExit):
        call(ImportCommand, *words, "--features", "first")


def timm(tmp_path, changes=None, settings=None, **removed):
    state = {name: value for name, value in (timm_state() | (changes or {})).items() if name not in removed}
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(settings or {}))
    return (
        tmp_path / "model.safetensors",
        "--format",
        "timm",
        "--heads",
        3,
        "--checkpoint",
        tmp_path / "out.safetensors",
    )


@pytest.mark.parametrize(("pool", "pooling"), [(None, "class"), ("token", "class"), ("avg", "mean")])
def test_timms_classifiers_pool_as_their_settings_say(tmp_path, pool, pooling):
    labels = [f"n{n:08}" for n in range(1000)]
    words = timm(tmp_path, settings={"label_names": labels} | ({"global_pool": pool} if pool else {}))
    assert call(ImportCommand, *words) == 0
    state, model = loaded(tmp_path / "out.safetensors")
    (task,) = state.recipe.model.tasks
    assert (task.pooling, task.channels, task.class_names[7]) == (pooling, 1000, "n00000007")
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    tokens, original = model.norm(after_blocks(model, x)), timm_state()
    pooled = tokens[:, 0] if pooling == "class" else tokens[:, 1:].mean(1)
    expected = pooled @ original["head.weight"].T + original["head.bias"]
    assert (model(x, "classification") - expected).abs().max() < 1e-4


@pytest.mark.parametrize("pool", ["avg", None, "token"])
def test_a_norm_behind_the_pooling_stays_there(tmp_path, pool):
    """timm's fc_norm and MAE's: `VisionTransformer.forward_head` pools the patches, then normalises, then classifies."""
    state = timm_state()
    moved = {f"fc_{name}": state[name] for name in ("norm.weight", "norm.bias")}
    settings = {"global_pool": pool} if pool else {}
    words = timm(tmp_path, moved, settings, **dict.fromkeys(("norm.weight", "norm.bias")))
    assert call(ImportCommand, *words, "--features") == 0
    recipe, model = loaded(tmp_path / "out.safetensors")
    assert recipe.recipe.model.tasks[0].pooling == ("class" if pool == "token" else "mean_before_norm")
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    tokens = after_blocks(model, x)
    pooled = tokens[:, 0] if pool == "token" else tokens[:, 1:].mean(1)
    pooled = F.layer_norm(pooled, (24,), state["norm.weight"], state["norm.bias"], 1e-6)
    expected = pooled @ state["head.weight"].T + state["head.bias"]
    assert expected.std() > 0.1 and (model(x, "classification") - expected).abs().max() < 1e-4
    assert torch.equal(model(x, "features"), model.norm(tokens))


def after_blocks(model, x):
    tokens = model.embed(x)
    for block in model.blocks:
        tokens, _ = block(tokens, ("classification",))
    return tokens


def test_distilled_heads_of_timm_and_deit_are_a_pair(tmp_path):
    state = timm_state(patches=4)
    distilled = {"head_dist.weight": state["head.weight"] + 1, "head_dist.bias": state["head.bias"] - 1}
    token = {
        "dist_token": state["cls_token"] * 2,
        "pos_embed": torch.cat([state["pos_embed"], state["pos_embed"][:, :1]], 1),
    }
    assert call(ImportCommand, *timm(tmp_path, distilled | token)) == 0
    state, model = loaded(tmp_path / "out.safetensors")
    assert state.recipe.model.tasks[0].pooling == "class+distillation"
    first, second = model.heads["classification"].layers
    assert torch.equal(second.weight, first.weight + 1) and torch.equal(second.bias, first.bias - 1)


@pytest.mark.parametrize(
    ("changes", "settings", "message"),
    [
        (
            {"fc_norm.weight": torch.ones(24)},
            {},
            r"has a norm behind the pooling and another one before it \(fc_norm and",
        ),
        ({"head.weight": torch.ones(1000, 96)}, {}, r"has 96 inputs where a token has 24 channels \(head.weight\)"),
        (
            {"head.mlp.0.weight": torch.ones(24, 24)},
            {},
            r"has a head that is no linear layer of pooled tokens \(head.mlp.0.w",
        ),
        ({"pre_logits.fc.weight": torch.ones(24, 24)}, {}, r"has a layer before the classifier \(pre_logits\)"),
        (
            {},
            {"global_pool": "max"},
            r"has the pooling max \(global_pool in config.json\), which the machine does not run",
        ),
    ],
)
def test_classifiers_that_cannot_run_are_named(tmp_path, changes, settings, message):
    words = timm(tmp_path, changes, settings)
    with pytest.raises(UserError, match=message + ".*leave it out with --backbone-only"):
        call(ImportCommand, *words)
    assert call(ImportCommand, *words, "--backbone-only", "--features") == 0


def test_names_are_read_without_a_classifier_unless_one_is_wanted():
    state = timm_state()
    assert read_names(ForeignCheckpoint("x", state), "timm") is None
    found = read_names(ForeignCheckpoint("x", state), "timm", classifier=True)
    assert found is not None and found.classes == 1000 and found.class_names == ()
    assert dataclasses.replace(found, class_names=("a",)).task().channels == 1000
