"""First weights from another model's: what is copied, how a dense MLP becomes experts, what is refused."""

import dataclasses

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.network.upcycling import initialise
from moesaic.model.network.vit import M3ViT


def seeds(values):
    return pytest.mark.parametrize("seed", values, ids=lambda s: f"seed{s}")


@pytest.fixture
def small(recipe):
    return dataclasses.replace(recipe.model, image_height=16, image_width=16, depth=2, experts=6, mlp_hidden=48)


@pytest.fixture
def dense(small):
    torch.manual_seed(5)
    return M3ViT(dataclasses.replace(small, experts=0, top_k=0, expert_hidden=0)).eval()


@seeds([0, 1])
@pytest.mark.parametrize(("top_k", "hidden"), [(2, 24), (1, 48), (3, 16), (2, 48)], ids=str)
def test_equal_scores_give_what_the_dense_network_gives(small, dense, top_k, hidden, seed):
    torch.manual_seed(seed)
    model = M3ViT(dataclasses.replace(small, top_k=top_k, expert_hidden=hidden)).eval()
    initialise(model, dense.state_dict())
    for router in model.blocks[1].mlp.routers.values():
        torch.nn.init.zeros_(router.linear.weight)
    images = torch.rand(2, 3, 16, 16) * 2 - 1
    for task in small.task_names:
        assert torch.allclose(model(images, task), dense(images, task), atol=1e-4)


@seeds([0, 1])
def test_small_routers_keep_it_near_the_dense_network(small, dense, seed):
    torch.manual_seed(seed)
    model = M3ViT(dataclasses.replace(small, top_k=2, expert_hidden=48)).eval()
    kept = initialise(model, dense.state_dict(), seed=seed)
    assert kept == []
    x = torch.randn(1, 50, 40)
    x = (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)
    ours, theirs = model.blocks[1].mlp(x, ("depth",))[0], dense.blocks[1].mlp(x, ("depth",))[0]
    assert ((ours - theirs).norm() / theirs.norm()) < 0.35
    chosen = model.blocks[1].mlp.route("depth", x[0])[1].sum(0)
    assert (chosen > 0).all()


def test_parts_of_widths_that_do_not_divide_are_different_choices(small, dense):
    model = M3ViT(dataclasses.replace(small, top_k=2, expert_hidden=20))
    initialise(model, dense.state_dict())
    moe, mlp = model.blocks[1].mlp, dense.blocks[1].mlp
    rows = [{int((mlp.up.weight == column).all(1).nonzero()) for column in expert.T} for expert in moe.up_weight]
    assert all(len(units) == 20 for units in rows) and len(set(map(frozenset, rows))) == 6
    unit = sorted(rows[2])[3]
    assert torch.allclose(moe.down_weight[2, 3], mlp.down.weight[:, unit] * (6 / 2 * 48 / 20))


def test_noise_makes_experts_differ_and_is_repeatable(small, dense):
    models = [M3ViT(dataclasses.replace(small, top_k=2, expert_hidden=48)) for _ in range(3)]
    for model, noise in zip(models, (0.0, 0.1, 0.1)):
        initialise(model, dense.state_dict(), noise=noise, seed=3)
    plain, noisy, again = (model.blocks[1].mlp.up_weight.detach() for model in models)
    assert torch.equal(plain[0], plain[4]) and not torch.equal(noisy[0], noisy[4])
    assert torch.equal(noisy, again)
    assert (noisy - plain).std() == pytest.approx(0.1 * plain.std().item(), rel=0.05)


def test_models_of_the_same_form_are_copied_but_for_heads_of_other_tasks(small):
    source = M3ViT(small)
    target = M3ViT(dataclasses.replace(small, tasks=small.tasks[1:]))
    only = M3ViT(
        dataclasses.replace(
            small, tasks=(dataclasses.replace(small.tasks[0], channels=small.tasks[0].channels + 1), *small.tasks[1:])
        )
    )
    assert initialise(target, source.state_dict()) == []
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())
    assert initialise(only, source.state_dict()) == [
        f"heads.{small.task_names[0]}.linear.{part}" for part in ("weight", "bias")
    ]


def test_a_network_without_a_final_norm_gives_all_but_its_heads(small):
    """SETR-PUP heads bring norms of their own; a light head that is drawn anew finds the norm as it is initialised."""
    source = M3ViT(dataclasses.replace(small, head="setr-pup")).state_dict()
    target = M3ViT(small)
    kept = initialise(target, source)
    assert kept[:2] == ["norm.weight", "norm.bias"] and all(name.startswith("heads.") for name in kept[2:])
    assert torch.equal(target.norm.weight, torch.ones(40)) and not target.norm.bias.any()
    assert all(torch.equal(target.state_dict()[name], value) for name, value in source.items() if name[:6] != "heads.")


def test_a_head_that_reads_a_missing_norm_is_not_taken(small):
    weights = M3ViT(small).state_dict()
    del weights["norm.weight"]
    with pytest.raises(
        UserError, match=r"weight norm.weight of the source is missing, which its weight heads.segmentation.li"
    ):
        initialise(M3ViT(small), weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 45}, "48 units on width 40, an expert 24 on 45"),
        ({"depth": 4}, "weight blocks.2.norm1.weight of the source is missing"),
        ({"depth": 1}, "weight blocks.1.norm1.weight of the source is unknown"),
        ({"image_width": 24}, r"weight position of the source is \(5, 40\), this model has \(7, 40\)"),
        ({"expert_hidden": 64}, "the dense MLP blocks.1.mlp has 48 units on width 40, an expert 64 on 40"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_does_not_fit_is_named(small, dense, change, words):
    model = M3ViT(dataclasses.replace(small, **change))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=words):
        initialise(model, dense.state_dict())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_without_upcycling_experts_and_routers_stay_as_drawn(small, dense):
    model = M3ViT(dataclasses.replace(small, top_k=2, expert_hidden=24))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kept = initialise(model, dense.state_dict(), upcycle=False)
    assert set(kept) == {name for name in before if name.startswith("blocks.1.mlp.")}
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name] if name in kept else dense.state_dict()[name]), name


@pytest.mark.parametrize("noise", ["none", "learned"])
@pytest.mark.parametrize("gate", ["multi", "task-conditioned"])
def test_a_single_router_becomes_that_of_every_task(small, gate, noise):
    """As `cvt_state_dict` in utils/common_config.py of M3ViT makes the gates of its multi-task networks from a pre-trained one."""
    torch.manual_seed(4)
    source = M3ViT(dataclasses.replace(small, gate="single", gate_noise=noise))
    for parameter in source.parameters():
        torch.nn.init.normal_(parameter)
    model = M3ViT(dataclasses.replace(small, gate=gate, gate_noise=noise))
    kept = initialise(model, source.state_dict())
    theirs = source.blocks[1].mlp.routers["all"]
    x = torch.randn(9, 40)
    for task in small.task_names:
        assert torch.allclose(model.blocks[1].mlp.logits(task, x), theirs.logits(task, x), atol=1e-5)
        if noise == "learned":
            std = model.blocks[1].mlp.router_of(task).noise_std(task, x)
            assert torch.allclose(std, theirs.noise_std(task, x), atol=1e-5)
    assert all(".routers.all.up" in name or ".down" in name or ".norm" in name for name in kept)


def test_a_tasks_own_router_goes_before_a_single_one(small):
    source = {name: value.clone() for name, value in M3ViT(small).state_dict().items()}
    router = "blocks.1.mlp.routers.{}.linear.weight"
    source[router.format("all")] = torch.ones_like(source[router.format("depth")])
    del source[router.format("normals")]
    model = M3ViT(small)
    assert initialise(model, source) == []
    assert torch.equal(model.state_dict()[router.format("depth")], source[router.format("depth")])
    assert torch.equal(model.state_dict()[router.format("normals")], source[router.format("all")])
