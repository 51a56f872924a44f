"""Upstream M3ViT: the same predictions after the import, ranks put together, and what is refused."""

import argparse
import dataclasses
import json
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from moesaic.errors import UserError
from moesaic.model.commands.import_ import ImportCommand
from moesaic.model.importing.foreign_checkpoint import ForeignCheckpoint, read_foreign_checkpoint
from moesaic.model.importing.m3vit import convert_m3vit, with_features
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT
from moesaic.model.recipes.recipe import TaskConfiguration
from moesaic.model.training import checkpoint

WIDTH, HEADS, PATCH, HIDDEN, EXPERTS, TOP_K, EXPERT, EMBEDDING = 24, 3, 8, 40, 4, 2, 16, 6
TASKS = {"semseg": 5, "human_parts": 3, "depth": 1}  # in upstream's order


def upstream_state(gate="multi", seed=0, experts=EXPERTS):
    """A state dict as upstream's data-parallel training saves it."""
    shapes = {
        "backbone.cls_token": (1, 1, WIDTH),
        "backbone.pos_embed": (1, 5, WIDTH),
        "backbone.patch_embed.proj.weight": (WIDTH, 3, PATCH, PATCH),
        "backbone.patch_embed.proj.bias": (WIDTH,),
    }

    def layer(name, *shape, bias=None):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, bias or shape[:1]

    inputs = WIDTH + (EMBEDDING if gate == "task-conditioned" else 0)
    if gate == "task-conditioned":
        layer("backbone.gate_task_represent.fc1", EMBEDDING, len(TASKS))
        layer("backbone.gate_task_represent.fc2", EMBEDDING, EMBEDDING)
        layer("backbone.gate_task_represent.norm", EMBEDDING)
    for i in range(2):
        block = f"backbone.blocks.{i}"
        layer(f"{block}.norm1", WIDTH)
        layer(f"{block}.attn.qkv", 3 * WIDTH, WIDTH)
        layer(f"{block}.attn.proj", WIDTH, WIDTH)
        layer(f"{block}.norm2", WIDTH)
    layer("backbone.blocks.0.mlp.fc1", HIDDEN, WIDTH)
    layer("backbone.blocks.0.mlp.fc2", WIDTH, HIDDEN)
    layer("backbone.blocks.1.mlp.experts.htoh4", experts, EXPERT, WIDTH, bias=(experts, EXPERT))
    layer("backbone.blocks.1.mlp.experts.h4toh", experts, WIDTH, EXPERT, bias=(experts, WIDTH))
    for name in [f"gate.{t}" for t in range(len(TASKS))] if gate == "multi" else ["gate"]:
        shapes[f"backbone.blocks.1.mlp.{name}.w_gate"] = (inputs, EXPERTS)
    for task, channels in TASKS.items():
        head = f"decoders.{task}"
        layer(f"{head}.norm", WIDTH)
        for stage in range(4):
            layer(f"{head}.conv_{stage}", 256, 256 if stage else WIDTH, 3, 3)
            layer(f"{head}.syncbn_fc_{stage}", 256)
            shapes[f"{head}.syncbn_fc_{stage}.running_mean"] = shapes[f"{head}.syncbn_fc_{stage}.running_var"] = (256,)
        layer(f"{head}.conv_4", channels, 256, 1, 1)
    generator = torch.Generator().manual_seed(seed)
    state = {f"module.{name}": 0.2 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    for name in list(state):
        if name.endswith("running_var"):
            state[name] = state[name].abs() + 0.5
            state[name.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
        if ".conv_" in name:
            state[name] /= 4
    return state


def upstream_prediction(state, images, task, gate, depth=2):
    """The published computation of one task, for images normalised as upstream does. depth: blocks before the decoder."""
    state = {name.removeprefix("module.").removeprefix("backbone."): value for name, value in state.items()}
    number = list(TASKS).index(task)

    def linear(name, value):
        return F.linear(value, state[f"{name}.weight"], state[f"{name}.bias"])

    def norm(name, value):
        return F.layer_norm(value, value.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-6)

    x = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1) + state["pos_embed"]
    for i in range(depth):
        batch, tokens, _ = x.shape
        qkv = linear(f"blocks.{i}.attn.qkv", norm(f"blocks.{i}.norm1", x)).reshape(batch, tokens, 3, HEADS, -1)
        y = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(x.shape)
        x = x + linear(f"blocks.{i}.attn.proj", y)
        y = norm(f"blocks.{i}.norm2", x)
        if i == 0:
            x = x + linear("blocks.0.mlp.fc2", F.gelu(linear("blocks.0.mlp.fc1", y)))
            continue
        inputs, name = y.flatten(0, 1), f"gate.{number}" if gate == "multi" else "gate"
        if gate == "task-conditioned":
            hidden = F.gelu(linear("gate_task_represent.fc1", F.one_hot(torch.tensor(number), len(TASKS)).float()))
            embedding = norm("gate_task_represent.norm", linear("gate_task_represent.fc2", hidden))
            inputs = torch.cat([inputs, embedding.repeat(len(inputs), 1)], -1)
        scores, chosen = (inputs @ state[f"blocks.1.mlp.{name}.w_gate"]).softmax(1).topk(TOP_K, dim=1)
        update = torch.zeros_like(y.flatten(0, 1))
        for n, (token_scores, experts) in enumerate(zip(scores, chosen)):
            for score, e in zip(token_scores, experts):
                up, down = (f"blocks.1.mlp.experts.{part}" for part in ("htoh4", "h4toh"))
                hidden = F.gelu(state[f"{up}.weight"][e] @ y.flatten(0, 1)[n] + state[f"{up}.bias"][e])
                update[n] += score * (state[f"{down}.weight"][e] @ hidden + state[f"{down}.bias"][e])
        x = x + update.view_as(x)
    head = f"decoders.{task}"
    x = norm(f"{head}.norm", x[:, 1:]).transpose(1, 2).reshape(len(x), WIDTH, 2, 2)
    for stage in range(4):
        x = F.conv2d(x, state[f"{head}.conv_{stage}.weight"], state[f"{head}.conv_{stage}.bias"], padding=1)
        parts = (
            state[f"{head}.syncbn_fc_{stage}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        x = F.relu(F.batch_norm(x, *parts))
        if stage < 3:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    x = F.conv2d(x, state[f"{head}.conv_4.weight"], state[f"{head}.conv_4.bias"])
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def configuration(recipe, gate="multi", **changes):
    names = {"segmentation": 5, "parts": 3, "depth": 1}  # an order of our own
    sizes = {
        "image_height": 16,
        "image_width": 16,
        "patch": PATCH,
        "width": WIDTH,
        "depth": 2,
        "heads": HEADS,
        "mlp_hidden": HIDDEN,
        "experts": EXPERTS,
        "top_k": TOP_K,
        "expert_hidden": EXPERT,
        "head_resolution": 16,
        "head": "setr-pup",
        "gate": gate,
        "task_embedding": EMBEDDING,
        "tasks": tuple(TaskConfiguration(name, channels) for name, channels in names.items()),
    }
    return dataclasses.replace(recipe.model, **{**sizes, **changes})


KINDS = ("safetensors", "pth")


def source_of(state):
    return ForeignCheckpoint("x", {name.removeprefix("module."): value for name, value in state.items()})


@pytest.mark.parametrize("gate", ["multi", "single", "task-conditioned"])
@pytest.mark.parametrize(
    ("seed", "kind"), [(0, "safetensors"), (1, "pth")], ids=lambda v: v if v in KINDS else f"seed{v}"
)
def test_every_task_is_predicted_as_upstream_predicts_it(recipe, tmp_path, gate, seed, kind):
    state, c = upstream_state(gate, seed), configuration(recipe, gate)
    model, path = M3ViT(c).eval(), tmp_path / f"weights.{kind}"
    if kind == "pth":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path)  # read back in alphabetical order
    assert initialise(model, convert_m3vit(read_foreign_checkpoint(path), c, heads=HEADS)) == []
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    for task, our in (("semseg", "segmentation"), ("depth", "depth"), ("human_parts", "parts")):
        expected = upstream_prediction(state, images, task, gate)
        assert expected.std() > 3e-3
        assert (model(images, our) - expected).abs().max() < 1e-3 * expected.std(), task


@pytest.mark.parametrize("gate", ["multi", "single", "task-conditioned"])
def test_features_are_what_the_decoders_norms_give(recipe, gate):
    c, state = configuration(recipe, gate), upstream_state(gate, 2)
    whole, encoder = M3ViT(c).eval(), M3ViT(with_features(c)).eval()
    assert initialise(whole, convert_m3vit(source_of(state), c, heads=HEADS)) == []
    found = convert_m3vit(source_of(state), encoder.configuration, heads=HEADS, backbone_only=True)
    assert initialise(encoder, found) == [] and encoder.configuration.has_integer_form
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for task in c.task_names:
        seen = []
        hook = whole.heads[task].norm.register_forward_hook(lambda m, i, result, seen=seen: seen.append(result))
        with torch.no_grad():
            whole(images, task)
            tokens = encoder(images, task)
        hook.remove()
        assert tokens.shape == (2, 5, WIDTH) and tokens.std() > 0.1
        assert (tokens[:, 1:] - seen[0]).abs().max() < 1e-5


@pytest.mark.parametrize("gate", ["multi", "single"])
def test_a_network_for_one_task_has_neither_its_name_nor_gates_by_number(recipe, gate):
    state = {}
    for name, value in upstream_state("single").items():
        if "decoders." not in name or ".depth." in name:
            state[name.replace("decoders.depth", "decoder")] = value
    c = dataclasses.replace(configuration(recipe, gate), tasks=(TaskConfiguration("depth", 1),))
    model = M3ViT(c).eval()
    assert initialise(model, convert_m3vit(source_of(state), c, heads=HEADS)) == []
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = {name.replace("decoder.", "decoders.depth."): value for name, value in state.items()}
    expected = upstream_prediction(whole, images, "depth", "single")
    assert (model(images, "depth") - expected).abs().max() < 1e-3 * expected.std()
    with pytest.raises(UserError, match="the source is of one task, the recipe of segmentation, parts, depth"):
        convert_m3vit(source_of(state), configuration(recipe, gate), heads=HEADS)


def what_stands_beside():
    """What upstream's training saves with the weights."""
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    results = {
        "semseg": {"mIoU": np.float64(0.4), "jaccards_all_categs": [np.float64(0.4)]},
        "depth": {"rmse": np.float32(1)},
    }
    return {
        "epoch": 1,
        "backbone": "VisionTransformer_moe",
        "best_result": results,
        "optimizer": optimizer.state_dict(),
    }


def write_ranks(directory, state, ranks):
    directory.mkdir()
    for rank in range(ranks):
        part = {}
        for name, value in state.items():
            if ".experts." in name:
                part[name] = value.chunk(ranks)[rank].clone()
            elif rank == 0:
                part[name] = value
        torch.save({"state_dict": part} | what_stands_beside(), directory / f"{rank}.pth")


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_are_put_together_in_order(tmp_path, ranks):
    state = upstream_state()
    write_ranks(tmp_path / "run", state, ranks)
    found = read_foreign_checkpoint(tmp_path / "run").tensors
    assert found.keys() == {name.removeprefix("module.") for name in state}
    assert all(torch.equal(found[name.removeprefix("module.")], value) for name, value in state.items())


def test_results_beside_the_weights_may_be_of_numpy_1(tmp_path):
    torch.save({"state_dict": upstream_state()} | what_stands_beside(), tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for entry in new.namelist():
            old.writestr(entry, new.read(entry).replace(b"numpy._core.", b"numpy.core."))
    found = [read_foreign_checkpoint(tmp_path / f"{name}.pth").tensors for name in ("new", "old")]
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_ranks_that_are_incomplete_are_named(tmp_path):
    write_ranks(tmp_path / "run", upstream_state(), 4)
    (tmp_path / "run" / "1.pth").unlink()
    with pytest.raises(UserError, match=r"has 0.pth, 2.pth, 3.pth; the ranks of a run are 0.pth, 1.pth, 2.pth"):
        read_foreign_checkpoint(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no .pth file"):
        read_foreign_checkpoint(tmp_path / "empty")


def test_ranks_of_different_runs_are_named(tmp_path):
    write_ranks(tmp_path / "run", upstream_state(), 2)
    torch.save({"state_dict": {"module.backbone.norm.weight": torch.ones(3)}}, tmp_path / "run" / "1.pth")
    with pytest.raises(UserError, match=r"1.pth: weight module.backbone.blocks.1.mlp.experts.htoh4.weight is missing"):
        read_foreign_checkpoint(tmp_path / "run")


def test_a_lost_rank_at_the_end_shows_in_the_number_of_experts(recipe, tmp_path):
    write_ranks(tmp_path / "run", upstream_state(), 2)
    (tmp_path / "run" / "1.pth").unlink()
    with pytest.raises(UserError, match=r"htoh4.weight is 2x16x24, the recipe says 4x16x24"):
        convert_m3vit(read_foreign_checkpoint(tmp_path / "run"), configuration(recipe), heads=HEADS)


@pytest.mark.parametrize(
    ("gate", "change", "words"),
    [
        ("multi", {"gate": "single"}, "is of the gate 'multi', the recipe has gate = 'single'"),
        ("single", {"gate": "multi"}, "is of the gate 'single', the recipe has gate = 'multi'"),
        ("task-conditioned", {"gate": "single"}, "is of the gate 'task-conditioned', the recipe has gate = 'single'"),
        ("task-conditioned", {"task_embedding": 7}, "w_gate is 30x4, the recipe says 31x4"),
        ("multi", {"expert_hidden": 20}, "htoh4.weight is 4x16x24, the recipe says 4x20x24"),
        ("multi", {"head": "light"}, "M3ViT has heads of SETR-PUP, the recipe 'light'"),
        (
            "multi",
            {"tasks": (TaskConfiguration("depth", 1),)},
            "has tasks segmentation, parts, depth, the recipe depth",
        ),
        ("multi", {"width": 36}, "patch_embed.proj.weight is 24x3x8x8, the recipe says 36x3x8x8"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value,
)
def test_what_does_not_fit_is_named(recipe, gate, change, words):
    c = dataclasses.replace(configuration(recipe, gate), **change)
    with pytest.raises(UserError, match=words):
        convert_m3vit(source_of(upstream_state(gate)), c, heads=HEADS)


@pytest.mark.parametrize("gate", ["multi", "single", "task-conditioned"])
def test_the_backbone_alone_takes_any_head(recipe, gate):
    state, c = upstream_state(gate), configuration(recipe, gate)
    light, whole = M3ViT(dataclasses.replace(c, head="light")).eval(), M3ViT(c).eval()
    kept = initialise(
        light, convert_m3vit(source_of(state), light.configuration, heads=HEADS, backbone_only=True), seed=1
    )
    assert {name.split(".")[0] for name in kept} == {"norm", "heads"}
    initialise(whole, convert_m3vit(source_of(state), c, heads=HEADS))
    for name, value in light.state_dict().items():
        assert name in kept or torch.equal(value, whole.state_dict()[name]), name


def upstream_tokens(state, images, task, gate, depth=2):
    """What the decoder of a task begins with: patch tokens after its norm, for images normalised as upstream does."""
    seen = []
    patched = pytest.MonkeyPatch()
    with patched.context() as patch:
        whole = F.layer_norm
        patch.setattr(F, "layer_norm", lambda *words: seen.append(whole(*words)) or seen[-1])
        upstream_prediction(state, images, task, gate, depth)
    return seen[-1]


@pytest.mark.parametrize("names", [("segmentation", "parts", "depth"), ("depth",)], ids="-".join)
@pytest.mark.parametrize("gate", ["multi", "single", "task-conditioned"])
def test_the_encoder_alone_gives_what_each_decoder_begins_with(recipe, gate, names):
    tasks = tuple(TaskConfiguration(name, kind="features") for name in names)
    state, c = upstream_state(gate), configuration(recipe, gate, tasks=tasks)
    assert c.has_integer_form
    model = M3ViT(c).eval()
    assert initialise(model, convert_m3vit(source_of(state), c, heads=HEADS, backbone_only=True)) == []
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    theirs = {"segmentation": "semseg", "parts": "human_parts", "depth": "depth"}
    for name in names:
        expected = upstream_tokens(state, images, theirs[name], gate)
        assert (model(images, name)[:, 1:] - expected).abs().max() < 1e-4, name
    with pytest.raises(UserError, match=f"task {names[0]} of the recipe is no decoder of M3ViT"):
        convert_m3vit(source_of(state), c, heads=HEADS)


@pytest.mark.parametrize("blocks", [(0, None), (1, 0), (0,)], ids=str)
@pytest.mark.parametrize("gate", ["multi", "single", "task-conditioned"])
def test_features_of_any_block_are_its_tokens_routed_as_the_task_routes(recipe, gate, blocks):
    """After the norm of the task's decoder; the oracle is upstream's network, whose last block comes earlier."""
    state, c = upstream_state(gate), configuration(recipe, gate)
    encoder = with_features(c, blocks)
    assert encoder.depth == max(c.depth if n is None else n + 1 for n in blocks)
    model = M3ViT(encoder).eval()
    assert initialise(model, convert_m3vit(source_of(state), encoder, heads=HEADS, backbone_only=True)) == []
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for task, our in (("semseg", "segmentation"), ("human_parts", "parts"), ("depth", "depth")):
        for n in blocks:
            depth = c.depth if n is None else n + 1
            expected = upstream_tokens(state, images, task, gate, depth)
            found = model(images, our if n is None else f"{our}_{n}")[:, 1:]
            assert expected.std() > 0.1 and (found - expected).abs().max() < 1e-4, (task, n)


def test_features_of_a_block_that_is_not_there_are_refused(recipe):
    with pytest.raises(UserError, match="features of block 9 are asked for, the recipe has blocks 0 to 1"):
        with_features(configuration(recipe), [9])


def test_wrong_heads_missing_and_unknown_weights_are_named(recipe):
    c, state = configuration(recipe), upstream_state()
    with pytest.raises(UserError, match="the source has 6 attention heads, the recipe 3"):
        convert_m3vit(source_of(state), c, heads=6)
    missing = {name: value for name, value in state.items() if not name.endswith("semseg.conv_2.bias")}
    with pytest.raises(UserError, match=r"weight decoders.semseg.conv_2.bias is missing"):
        convert_m3vit(source_of(missing), c, heads=HEADS)
    with pytest.raises(UserError, match=r"weight blocks.9.norm1.weight \(3\) has no place"):
        convert_m3vit(source_of({**state, "module.backbone.blocks.9.norm1.weight": torch.ones(3)}), c, heads=HEADS)
    noisy = {**state, "module.backbone.blocks.1.mlp.gate.0.w_noise": torch.ones(WIDTH, EXPERTS)}
    with pytest.raises(UserError, match="w_noise is of the gate 'noisy'"):
        convert_m3vit(source_of(noisy), c, heads=HEADS)


def recipe_file(path, c, **model):
    entries = {**dataclasses.asdict(c), **model}
    lines = [f"{name} = {json.dumps(value)}" for name, value in entries.items() if name not in ("tasks", "input")]
    tasks = ", ".join(f'{{ name = "{task.name}", channels = {task.channels} }}' for task in c.tasks)
    training = ["steps = 9", "batch = 1", "learning_rate = 1e-3", "warmup = 1", "pool = 1"]
    path.write_text("\n".join(["[model]", *lines, f"tasks = [{tasks}]", "[training]", *training]))
    return path


def command(*words):
    parser = argparse.ArgumentParser()
    ImportCommand.configure(parser)
    return ImportCommand.run(parser.parse_args([str(word) for word in words]))


def test_command_writes_a_checkpoint_of_the_whole_model(recipe, tmp_path, capsys):
    state, c = upstream_state(), configuration(recipe)
    write_ranks(tmp_path / "run", state, 2)
    recipe_path, out = recipe_file(tmp_path / "own.toml", c), tmp_path / "out.safetensors"
    words = ("--format", "m3vit", "--heads", HEADS, "--normalisation", "half", "--checkpoint", out)
    assert command(tmp_path / "run", "--recipe", recipe_path, *words) == 0
    assert "a whole model" in " ".join(capsys.readouterr().out.split())
    loaded = checkpoint.load(out)
    assert loaded.step == 9
    images = torch.rand(1, 3, 16, 16) * 2 - 1
    expected = upstream_prediction(state, images, "depth", "multi")
    found = loaded.build_model().eval()(images, "depth")
    assert (found - expected).abs().max() < 1e-3 * expected.std()


def test_command_upcycles_a_dense_backbone_and_says_what_is_new(recipe, tmp_path, capsys):
    c = configuration(recipe, head="light", head_resolution=8, expert_hidden=20)
    state = {name.removeprefix("module.backbone."): v for name, v in upstream_state().items() if "backbone" in name}
    state = {name: value for name, value in state.items() if ".gate" not in name and ".experts." not in name}
    for name in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"):
        state[f"blocks.1.mlp.{name}"] = state[f"blocks.0.mlp.{name}"]
    state |= {"norm.weight": torch.ones(WIDTH), "norm.bias": torch.zeros(WIDTH)}
    torch.save({"model": state}, tmp_path / "deit.pth")
    recipe_path, out = recipe_file(tmp_path / "own.toml", c), tmp_path / "out.safetensors"
    words = ("--format", "timm", "--heads", HEADS, "--checkpoint", out)
    assert command(tmp_path / "deit.pth", "--recipe", recipe_path, *words) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "drawn at random: 6 weights, heads.segmentation.linear.weight the first" in printed
    loaded = checkpoint.load(out)
    assert loaded.step == 0
    up = loaded.weights["blocks.1.mlp.up_weight"]
    assert torch.equal(up[1].T, state["blocks.0.mlp.fc1.weight"][20:])
