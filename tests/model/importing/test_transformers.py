"""Networks of Hugging Face transformers: the features that the library itself computes, for each family and every detail."""

import argparse
import dataclasses
import json

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.commands.import_ import ImportCommand
from moesaic.model.importing.backbone import stated_grid
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint, read_foreign_checkpoint
from moesaic.model.importing.plain_vit import convert_plain_vit, read_names, with_source_tokens
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT
from moesaic.model.training import checkpoint
from moesaic.spec.input_description import InputDescription

transformers = pytest.importorskip(
    "transformers", reason="transformers is missing: pip install -c constraints.txt -e .[test]"
)

WIDTH, DEPTH, HEADS, PATCH, HIDDEN, SIDE = 24, 3, 3, 14, 96, 5
FAMILIES = {
    "vit": (transformers.ViTConfig, transformers.ViTModel, {}),
    "deit": (transformers.DeiTConfig, transformers.DeiTModel, {}),
    "dinov2": (transformers.Dinov2Config, transformers.Dinov2Model, {}),
    "dinov2-registers": (transformers.Dinov2WithRegistersConfig, transformers.Dinov2WithRegistersModel, {}),
    "dinov2-3-registers": (
        transformers.Dinov2WithRegistersConfig,
        transformers.Dinov2WithRegistersModel,
        {"num_register_tokens": 3},
    ),
    "vit-no-qkv-bias": (transformers.ViTConfig, transformers.ViTModel, {"qkv_bias": False}),
    "vit-classifier": (transformers.ViTConfig, transformers.ViTForImageClassification, {}),
    "deit-distilled": (transformers.DeiTConfig, transformers.DeiTForImageClassificationWithTeacher, {}),
    "dinov2-classifier": (transformers.Dinov2Config, transformers.Dinov2ForImageClassification, {}),
    "ijepa": (transformers.IJepaConfig, transformers.IJepaModel, {}),
}
PREFIX = {"vit": 1, "deit": 2, "dinov2": 1, "dinov2-registers": 5, "dinov2-3-registers": 4, "ijepa": 0}


def network(family, seed=0, **changes):
    """A model of the library with no weight left at what it is initialised to."""
    kind, model, settings = FAMILIES[family]
    sizes = {
        "hidden_size": WIDTH,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN,
        "image_size": SIDE * PATCH,
        "patch_size": PATCH,
    }
    source = model(kind(**{**sizes, **settings, **changes})).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in source.named_parameters():
            spread = {"lambda1": 0.8, "norm": 0.3}.get(next((p for p in ("lambda1", "norm") if p in name), ""), 0.1)
            value.copy_(spread * torch.randn(value.shape, generator=generator))
            if value.ndim == 1 and ("lambda1" in name or "norm" in name) and not name.endswith("bias"):
                value.add_(1)
            if "position" in name or "token" in name:
                value.mul_(5)
    return source


def library_features(source, images):
    """All tokens after the final norm."""
    backbone = getattr(source, source.base_model_prefix, source)
    with torch.no_grad():
        if source.config.model_type in ("dinov2", "dinov2_with_registers"):
            return backbone(images).last_hidden_state
        return backbone(images, interpolate_pos_encoding=True).last_hidden_state


def our_features(model, images):
    with torch.no_grad():
        x = model.embed(images)
        for block in model.blocks:
            x, _ = block(x, ("depth",))
        return model.norm(x)


def dense(recipe, grid=(SIDE, SIDE), **changes):
    sizes = {
        "image_height": grid[0] * PATCH,
        "image_width": grid[1] * PATCH,
        "patch": PATCH,
        "width": WIDTH,
        "depth": DEPTH,
        "heads": HEADS,
        "mlp_hidden": HIDDEN,
        "experts": 0,
        "top_k": 0,
        "expert_hidden": 0,
    }
    return dataclasses.replace(recipe.model, **{**sizes, **changes})


def imported(source, c, **options):
    read_names(source, "transformers")
    c = with_source_tokens(source, c)
    model = M3ViT(c).eval()
    weights = convert_plain_vit(source, c, heads=HEADS, library="transformers", **options)
    assert all(name.startswith("heads.") for name in initialise(model, weights))
    return model


def assert_same_features(source, model, seed=0):
    c = model.configuration
    images = torch.randn(2, 3, c.image_height, c.image_width, generator=torch.Generator().manual_seed(seed))
    expected, found = library_features(source, images), our_features(model, images)
    assert found.shape == expected.shape and expected.std() > 0.3
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("grid", [(SIDE, SIDE), (4, 7), (9, 8), (25, 1)], ids=str)
@pytest.mark.parametrize("family", FAMILIES)
def test_features_are_those_of_the_library(recipe, tmp_path, family, grid):
    """At the source's grid, at smaller and larger ones, and at one of as many patches in another shape."""
    source = network(family)
    source.save_pretrained(tmp_path)
    model = imported(read_foreign_checkpoint(tmp_path), dense(recipe, grid))
    assert_same_features(source, model)
    if family in PREFIX:
        assert model.configuration.prefix_tokens == PREFIX[family]


def test_names_in_memory_and_files_of_tensors_are_read_too(recipe, tmp_path):
    source = network("dinov2-registers", seed=1)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    found = read_foreign_checkpoint(tmp_path / "weights.pth")
    assert_same_features(source, imported(found, dense(recipe)))


def test_a_grid_that_is_no_square_is_that_of_the_settings(recipe, tmp_path):
    """Of 7x28 patches, which could be 14x14."""
    source = network("vit", image_size=[7 * PATCH, 28 * PATCH])
    source.save_pretrained(tmp_path)
    found = read_foreign_checkpoint(tmp_path)
    assert stated_grid(found) == (7, 28) and stated_grid(ForeignCheckpoint("x", {}, {"image_size": 224})) is None
    model = imported(found, dense(recipe, (7, 28)), grid=stated_grid(found))
    images = torch.randn(1, 3, 98, 392, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = source(images).last_hidden_state
    assert (our_features(model, images) - expected).abs().max() < 1e-4


def test_zero_scales_and_zero_biases_are_exact(recipe):
    source = network("dinov2")
    with torch.no_grad():
        for name, value in source.named_parameters():
            if name.endswith("q_proj.bias") or "layer.1.layer_scale1" in name:
                value.zero_()
    assert_same_features(source, imported(ForeignCheckpoint("x", source.state_dict()), dense(recipe)))


def test_some_of_the_biases_missing_is_a_damaged_file(recipe):
    state = network("vit").state_dict()
    del state["layers.1.attention.q_proj.bias"]
    with pytest.raises(UserError, match=r"weight blocks.1.attn.q.bias is missing"):
        imported(ForeignCheckpoint("x", state), dense(recipe))


@pytest.mark.parametrize(
    ("family", "settings", "feature"),
    [
        ("dinov2", {"use_swiglu_ffn": True}, "SwiGLU"),
        ("vit", {"hidden_act": "gelu_new"}, "the activation gelu_new"),
    ],
    ids=["SwiGLU", "activation"],
)
def test_what_cannot_run_is_named(recipe, tmp_path, family, settings, feature):
    network(family, **settings).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=f"the source has {feature} .*which the machine does not run"):
        imported(read_foreign_checkpoint(tmp_path), dense(recipe))


def test_whole_families_that_cannot_run_are_named(recipe, tmp_path):
    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 3, "intermediate_size": 48}
    swin = transformers.SwinModel(transformers.SwinConfig(embed_dim=12, depths=[1], num_heads=[1], image_size=32))
    rotary = transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**sizes))
    relative = transformers.BeitModel(transformers.BeitConfig(**sizes, image_size=32, use_relative_position_bias=True))
    for model, feature in (
        (swin, "windowed attention"),
        (rotary, "rotary positions"),
        (relative, "relative positions"),
    ):
        with pytest.raises(UserError, match=f"the source has {feature}"):
            imported(ForeignCheckpoint("x", model.state_dict(), model.config.to_dict()), dense(recipe))
        with pytest.raises(UserError, match=r"the source has (windowed attention|(rotary or )?relative positions)"):
            imported(ForeignCheckpoint("x", model.state_dict()), dense(recipe))


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("blocks.0.attn.q_norm.weight", "qk-norm"),
        ("blocks.0.mlp.w12.weight", "SwiGLU"),
        ("norm_pre.weight", "a norm before"),
    ],
)
def test_features_are_known_by_their_weights(name, feature):
    with pytest.raises(UserError, match=rf"x: the source has {feature}.* \(weight {name}\)"):
        read_names(ForeignCheckpoint("x", {name: torch.ones(3)}), "timm")


def test_the_other_libraries_names_are_told(recipe):
    with pytest.raises(
        UserError, match="the names of its weights are transformers': import it with --format transformers"
    ):
        read_names(ForeignCheckpoint("x", network("vit").state_dict()), "timm")


def test_prefix_tokens_of_a_recipe_that_states_others_are_refused(recipe):
    source = ForeignCheckpoint("x", network("deit").state_dict())
    read_names(source, "transformers")
    with pytest.raises(
        UserError, match=r"has 2 prefix tokens \(1 in cls_token, 1 in dist_token\), the recipe 1: set pre"
    ):
        convert_plain_vit(source, dense(recipe), heads=HEADS, library="transformers")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_weight_that_is_no_number_is_named(tmp_path, value):
    source = network("vit")
    with torch.no_grad():
        source.layers[1].mlp.fc1.weight[2, 3] = value
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    with pytest.raises(UserError, match=r"weight layers.1.mlp.fc1.weight has 1 of 2304 values that are not finite"):
        read_foreign_checkpoint(tmp_path / "weights.pth")


def command(*words):
    parser = argparse.ArgumentParser()
    ImportCommand.configure(parser)
    return ImportCommand.run(parser.parse_args([str(word) for word in words]))


def test_the_command_takes_heads_and_normalisation_from_the_settings(recipe, tmp_path, capsys):
    source = network("dinov2-registers")
    source.save_pretrained(tmp_path / "model")
    settings = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "do_normalize": True}
    (tmp_path / "model" / "preprocessor_config.json").write_text(json.dumps(settings))
    entries = {**dataclasses.asdict(dense(recipe)), "tasks": None, "input": None}
    lines = [f"{name} = {json.dumps(value)}" for name, value in entries.items() if value is not None]
    lines += ['tasks = [{ name = "depth", channels = 1 }]', "[training]", "steps = 9", "batch = 1"]
    own, out = tmp_path / "own.toml", tmp_path / "out.safetensors"
    own.write_text("\n".join(["[model]", *lines, "learning_rate = 1e-3", "warmup = 1", "pool = 1"]))
    words = (tmp_path / "model", "--format", "transformers", "--recipe", own, "--checkpoint", out)
    assert command(*words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "prefix tokens: 5" in printed
    assert "input: pixel / 127.5 - 1; resized at its own proportions" in printed
    assert "(the preprocessor_config.json beside the weights)" in printed
    state = checkpoint.load(out)
    assert state.recipe.model.prefix_tokens == 5
    assert_same_features(source, state.build_model().eval())
    assert (state.recipe.model.input.mean, state.recipe.model.input.resize) == ((0.5, 0.5, 0.5), "crop")
    assert command(*words, "--mean", "0.1,0.2,0.3", "--resize", "pad") == 0
    assert checkpoint.load(out).recipe.model.input == InputDescription((0.1, 0.2, 0.3), resize="pad")
    with pytest.raises(UserError, match="--normalisation none states mean and deviation"):
        command(*words, "--mean", "0.1,0.2,0.3", "--normalisation", "none")
    with pytest.raises(UserError, match=r"--heads is 6, the source's config.json says 3"):
        command(*words, "--heads", 6)
    (tmp_path / "model" / "config.json").unlink()
    with pytest.raises(UserError, match="state them with --heads"):
        command(*words)
