"""Vision transformers with timm's names: the same computation after the import, and what is refused."""

import argparse
import dataclasses
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from moesaic.errors import UserError
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint, read_foreign_checkpoint
from moesaic.model.importing.plain_vit import convert_plain_vit, read_names
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT
from moesaic.model.training.checkpoint import load

WIDTH, DEPTH, HEADS, PATCH, HIDDEN = 24, 2, 3, 8, 40


def timm_state(patches=4, seed=0):
    """A state dict in timm's naming, as of a vision transformer for 1000 classes."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "cls_token": (1, 1, WIDTH),
        "pos_embed": (1, 1 + patches, WIDTH),
        "patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "patch_embed.proj.bias": (WIDTH,),
        "norm.weight": (WIDTH,),
        "norm.bias": (WIDTH,),
        "head.weight": (1000, WIDTH),
        "head.bias": (1000,),
    }
    layers = {"norm1": (WIDTH,), "attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH), "norm2": (WIDTH,)}
    layers |= {"mlp.fc1": (HIDDEN, WIDTH), "mlp.fc2": (WIDTH, HIDDEN)}
    for i in range(DEPTH):
        for name, shape in layers.items():
            shapes[f"blocks.{i}.{name}.weight"], shapes[f"blocks.{i}.{name}.bias"] = shape, shape[:1]
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def timm_features(state, images):
    """The published computation: patch tokens after the last norm, for normalised images [B, 3, h, w]."""
    x = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH)
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1) + state["pos_embed"]

    def linear(name, value):
        return F.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name, value):
        return F.layer_norm(value, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    for i in range(DEPTH):
        batch, tokens, _ = x.shape
        qkv = linear(f"blocks.{i}.attn.qkv", norm(f"blocks.{i}.norm1", x)).reshape(batch, tokens, 3, HEADS, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)).softmax(-1)
        x = x + linear(f"blocks.{i}.attn.proj", (weights @ v).transpose(1, 2).reshape(batch, tokens, WIDTH))
        x = x + linear(f"blocks.{i}.mlp.fc2", F.gelu(linear(f"blocks.{i}.mlp.fc1", norm(f"blocks.{i}.norm2", x))))
    return norm("norm", x)


def convert_timm(source, configuration, **options):
    read_names(source, "timm")
    return convert_plain_vit(source, configuration, **options)


@pytest.fixture
def dense(recipe):
    return dataclasses.replace(
        recipe.model,
        image_height=16,
        image_width=16,
        patch=PATCH,
        width=WIDTH,
        depth=DEPTH,
        heads=HEADS,
        mlp_hidden=HIDDEN,
        experts=0,
        top_k=0,
        expert_hidden=0,
    )


def features(model, images):
    x = model.embed(images)
    for block in model.blocks:
        x, _ = block(x, ("depth",))
    return model.norm(x)


@pytest.mark.parametrize("seed", [0, 1], ids=lambda s: f"seed{s}")
def test_the_backbone_computes_what_the_source_computes(dense, seed):
    state, model = timm_state(seed=seed), M3ViT(dense).eval()
    kept = initialise(model, convert_timm(ForeignCheckpoint("x", state), dense, heads=HEADS))
    assert all(name.startswith("heads.") for name in kept)
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(features(model, images), timm_features(state, images), atol=1e-4)


def test_another_number_of_heads_would_be_wrong_and_is_refused(dense):
    with pytest.raises(UserError, match="the source has 6 attention heads, the recipe 3"):
        convert_timm(ForeignCheckpoint("x", timm_state()), dense, heads=6)


def test_positions_of_another_grid_are_interpolated_the_class_tokens_is_not(dense):
    wide = dataclasses.replace(dense, image_height=24, image_width=40)
    weights = convert_timm(ForeignCheckpoint("x", timm_state(patches=16)), wide, heads=HEADS)
    state = timm_state(patches=16)
    image = state["pos_embed"][0, 1:].reshape(4, 4, WIDTH).permute(2, 0, 1)[None]
    expected = F.interpolate(image, size=(3, 5), mode="bicubic", antialias=True)[0].permute(1, 2, 0).reshape(15, -1)
    assert torch.equal(weights["position"][0], state["pos_embed"][0, 0])
    assert torch.allclose(weights["position"][1:], expected)


@pytest.mark.parametrize("grid", [(3, 5), (5, 7), (2, 8)], ids=str)
@pytest.mark.parametrize("library", ["deit", "dino", "dinov2"])
def test_positions_are_interpolated_as_the_authors_do_it(dense, library, grid):
    """DINO and DINOv2 state a scale, 0.1 patches more than wanted, DeiT the size."""
    c = dataclasses.replace(dense, image_height=grid[0] * PATCH, image_width=grid[1] * PATCH)
    state = timm_state(patches=16)
    source = ForeignCheckpoint("x", {"mask_token": torch.ones(1, WIDTH), **state})
    read_names(source, library)
    found = convert_plain_vit(source, c, heads=HEADS, library=library)["position"][1:]
    image = state["pos_embed"][:, 1:].reshape(1, 4, 4, WIDTH).permute(0, 3, 1, 2)
    if library == "deit":
        expected = F.interpolate(image, size=grid, mode="bicubic", align_corners=False)
    else:
        scale = tuple((side + 0.1) / math.sqrt(16) for side in grid)
        expected = F.interpolate(image, scale_factor=scale, mode="bicubic")
    assert torch.allclose(found, expected.permute(0, 2, 3, 1).view(-1, WIDTH))


@pytest.mark.parametrize(("registers", "positions"), [(4, 0), (4, 1), (4, 5)], ids=["none", "class", "all"])
def test_positions_of_all_prefix_tokens_of_one_or_of_none(dense, registers, positions):
    c = dataclasses.replace(dense, image_height=24, image_width=24, prefix_tokens=1 + registers)
    state = timm_state(patches=8 + positions)
    state["register_tokens"] = torch.randn(1, registers, WIDTH)
    source = ForeignCheckpoint("x", state)
    read_names(source, "dinov2")
    weights = convert_plain_vit(source, c, heads=HEADS, library="dinov2", grid=(3, 3))
    assert torch.equal(weights["position"][5:], state["pos_embed"][0, positions:])
    assert torch.equal(weights["class_token"], state["cls_token"].flatten())
    expected = torch.cat([torch.zeros(1, WIDTH), state["register_tokens"][0]])
    expected[:positions] += state["pos_embed"][0, :positions]
    assert torch.equal(weights["position"][:5], expected)


def test_a_norm_of_the_mean_becomes_that_of_each_token(dense):
    state = timm_state()
    state |= {f"fc_{name}": state.pop(name) for name in ("norm.weight", "norm.bias")}
    weights = convert_timm(ForeignCheckpoint("x", state), dense, heads=HEADS)
    assert torch.equal(weights["norm.weight"], state["fc_norm.weight"])


def test_gated_mlps_are_known_by_their_shapes(dense):
    state = timm_state()
    state["blocks.1.mlp.fc1.weight"] = torch.zeros(2 * HIDDEN, WIDTH)
    with pytest.raises(
        UserError, match=r"has SwiGLU \(weight blocks.1.mlp.fc1.weight of 80 outputs for 40 hidden units\)"
    ):
        convert_timm(ForeignCheckpoint("x", state), dense, heads=HEADS)


def test_positions_of_a_grid_that_is_no_square_need_its_sides(dense):
    wide = dataclasses.replace(dense, image_height=24, image_width=40)
    with pytest.raises(UserError, match="weight pos_embed has 6 patches, a grid of 2x2 has 4: state the source's grid"):
        convert_timm(ForeignCheckpoint("x", timm_state(patches=6)), wide, heads=HEADS)
    stretched = convert_timm(ForeignCheckpoint("x", timm_state(patches=6)), wide, heads=HEADS, grid=(2, 3))
    assert stretched["position"].shape == (16, WIDTH)
    same = dataclasses.replace(dense, image_height=16, image_width=24)
    state = timm_state(patches=6)
    assert torch.equal(
        convert_timm(ForeignCheckpoint("x", state), same, heads=HEADS)["position"], state["pos_embed"][0]
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 36}, "weight patch_embed.proj.weight is 24x3x8x8, the recipe says 36x3x8x8"),
        ({"patch": 4}, "weight patch_embed.proj.weight is 24x3x8x8, the recipe says 24x3x4x4"),
        ({"depth": 3}, "weight blocks.2.norm1.weight is missing"),
        ({"depth": 1}, r"weight blocks.1.norm1.weight \(24\) has no place"),
        ({"mlp_hidden": 48}, "weight blocks.0.mlp.fc1.weight is 40x24, the recipe says 48x24"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_named(dense, change, words):
    with pytest.raises(UserError, match=words):
        convert_timm(ForeignCheckpoint("x", timm_state()), dataclasses.replace(dense, **change), heads=HEADS)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("cls_token", torch.zeros(WIDTH), "weight cls_token is 24, the recipe says 1xanyx24"),
        ("pos_embed", torch.zeros(1, 0, WIDTH), "weight pos_embed has -1 patches"),
        ("blocks.0.mlp.fc1.weight", torch.zeros(()), "fc1.weight is a number, the recipe says 40x24"),
        ("blocks.1.mlp.fc2.weight", torch.zeros(4), "fc2.weight is 4, the recipe says 24x40"),
        ("blocks.1.attn.proj.weight", torch.zeros(WIDTH, WIDTH, dtype=torch.int8), "proj.weight is int8, not floating"),
        ("blocks.0.ls1.gamma", torch.zeros(3), "weight blocks.0.ls1.gamma is 3, the recipe says 24"),
        ("reg_token", torch.zeros(1, 9, WIDTH), "prefix tokens .1 in cls_token, 9 in reg_token., the recipe 1"),
    ],
    ids=lambda value: value if isinstance(value, str) and "is" not in value and "has" not in value else "",
)
def test_tensors_of_the_wrong_kind_are_named(dense, name, value, words):
    with pytest.raises(UserError, match=words):
        convert_timm(ForeignCheckpoint("x", {**timm_state(), name: value}), dense, heads=HEADS)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64", "float8_e4m3fn"])
def test_floating_point_weights_of_any_width_are_read(dense, tmp_path, kind):
    state = {name: value.to(getattr(torch, kind)) for name, value in timm_state().items()}
    torch.save(state, tmp_path / "weights.pth")
    found = convert_timm(read_foreign_checkpoint(tmp_path / "weights.pth"), dense, heads=HEADS)
    assert all(value.dtype == torch.float32 for value in found.values())
    assert torch.equal(found["norm.weight"], state["norm.weight"].float())


def test_a_missing_weight_is_named(dense):
    state = timm_state()
    del state["blocks.1.attn.qkv.bias"]
    with pytest.raises(UserError, match=r"x: weight blocks.1.attn.qkv.bias is missing"):
        convert_timm(ForeignCheckpoint("x", state), dense, heads=HEADS)


@pytest.mark.parametrize("kind", ["safetensors", "pth", "DeiT's", "data-parallel"])
def test_files_of_every_kind_are_read(tmp_path, kind):
    state = timm_state()
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "pth":
        torch.save(state, path)
    elif kind == "DeiT's":
        torch.save({"model": state, "args": argparse.Namespace(lr=0.1, eval=False)}, path)
    else:
        torch.save({"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}, path)
    found = read_foreign_checkpoint(path).tensors
    assert found.keys() == state.keys()
    assert all(np.array_equal(found[name], state[name]) for name in state)


class Trap:
    """Unpickling one calls a function."""

    def __reduce__(self):
        return (open, ("trapped", "w"))


def test_nothing_in_a_file_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": timm_state(), "trap": Trap()}, "weights.pth")
    with pytest.raises(UserError, match=r"weights.pth cannot be read as tensors alone \(it holds io.open\)"):
        read_foreign_checkpoint(tmp_path / "weights.pth")
    assert not (tmp_path / "trapped").exists()


def test_files_that_are_none_are_refused(tmp_path):
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 torn")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    (tmp_path / "weights.npz").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    for name, words in (
        ("torn.pth", "cannot be read as tensors alone"),
        ("torn.safetensors", "cannot be read as tensors alone"),
        ("weights.npz", "none of .safetensors"),
        ("list.pth", "holds no state dict"),
        ("missing.pth", "does not exist"),
    ):
        with pytest.raises(UserError, match=words):
            read_foreign_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "blocks._orig_mod."]
)
def test_what_wrappers_put_before_names_is_removed(tmp_path, prefix):
    """Those of data-parallel training and torch.compile, of the whole model or of a part."""
    torch.save({f"{prefix}norm.weight": torch.ones(3)}, tmp_path / "model.pth")
    (name,) = read_foreign_checkpoint(tmp_path / "model.pth").tensors
    assert name == ("blocks.norm.weight" if prefix.startswith("blocks") else "norm.weight")


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_pointer_of_git_lfs_is_called_so(tmp_path, ending):
    (tmp_path / f"model{ending}").write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n")
    with pytest.raises(UserError, match=f"model{ending} is a pointer of Git LFS.*git lfs pull"):
        read_foreign_checkpoint(tmp_path / f"model{ending}")
    with pytest.raises(UserError, match="is a pointer of Git LFS"):
        load(tmp_path / f"model{ending}")
