"""The load-balance loss: its definition, pathways, degenerate routers, and two ranks with half of the batch each."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from moesaic.model.network.balance import balance_loss, expert_load
from moesaic.model.network.moe import MoE, top_k_mask
from moesaic.model.network.routers import NOISE_FLOOR
from moesaic.model.recipes.recipe import GATE_NOISES


def seeds(values):
    return pytest.mark.parametrize("seed", values, ids=lambda s: f"seed{s}")


@seeds([0, 1])
@pytest.mark.parametrize("top_k", [1, 2, 5])
@pytest.mark.parametrize("constant", [False, True], ids=["learned", "fixed"])
def test_load_is_the_chance_to_be_chosen_when_the_noise_is_drawn_again(seed, top_k, constant):
    rng = np.random.default_rng(seed)
    logits, sample = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    std = np.full((3, 6), 0.3) if constant else rng.uniform(0.2, 1, (3, 6))
    noisy = logits + std * sample
    chosen = top_k_mask(torch.from_numpy(noisy), top_k)
    given = 0.3 if constant else torch.from_numpy(std)
    found = expert_load(torch.from_numpy(logits), torch.from_numpy(noisy), given, chosen).numpy()
    expected, draws = np.zeros(6), rng.normal(size=(200_000, 1))
    for n, e in np.ndindex(3, 6):
        others = np.delete(noisy[n], e)
        needed = np.sort(others)[::-1][top_k - 1]  # the k-th largest of the others
        expected[e] += (logits[n, e] + std[n, e] * draws > needed).mean()
    assert np.abs(found - expected).max() < 0.01


def test_loss_is_the_mean_of_both_squared_variations():
    importance, load = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 2.0])
    assert balance_loss(importance, load) == pytest.approx(0.5 * 0.25)


@pytest.mark.parametrize("gate_noise", GATE_NOISES)
@pytest.mark.parametrize(("kept", "top_k"), [((1, 2, 5), 2), ((1, 2), 2), ((3,), 2), (tuple(range(6)), 6)], ids=str)
def test_only_experts_of_the_pathway_count_and_no_gradient_is_undefined(kept, top_k, gate_noise):
    torch.manual_seed(0)
    moe, x = MoE(12, 9, 6, top_k, ("a",), gate_noise=gate_noise), torch.randn(40, 12)
    mask = torch.zeros(6, dtype=torch.bool)
    mask[list(kept)] = True
    moe.kept["a"] = mask
    scores, chosen, balance = moe.route("a", x, torch.Generator().manual_seed(0))
    assert np.array_equal(chosen.sum(1), np.full(40, min(top_k, len(kept)))) and not chosen[:, ~mask].any()
    (balance + scores.sum()).backward()
    gradient = moe.routers["a"].linear.weight.grad
    assert torch.isfinite(gradient).all() and not gradient[~mask].any()
    if gate_noise == "learned":
        assert torch.isfinite(moe.routers["a"].noise_linear.weight.grad).all()
    if len(kept) == 1:
        assert balance == 0


def _squared_variation(values):
    return values.var() / values.mean() ** 2


@seeds([0, 1])
@pytest.mark.parametrize("gate_noise", GATE_NOISES)
def test_what_each_noise_balances(seed, gate_noise):
    """Fixed: the softmax over all experts without noise. Learned: what chosen experts get. None: that, and tokens counted."""
    torch.manual_seed(seed)
    moe, x = MoE(12, 9, 6, 2, ("a",), gate_noise=gate_noise), torch.randn(50, 12)
    router = moe.routers["a"]
    std = {"fixed": 1 / 6, "learned": np.log(2) + NOISE_FLOOR, "none": 0.0}[gate_noise]
    assert np.allclose(torch.as_tensor(router.noise_std("a", x)).detach(), std)
    scores, chosen, balance = moe.route("a", x, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logits = router.logits("a", x)
        sample = torch.randn(50, 6, generator=torch.Generator().manual_seed(seed))
        noisy = logits + std * sample
        expected = torch.softmax(noisy, -1) * top_k_mask(noisy, 2)
        assert torch.allclose(scores, expected, atol=1e-6) and torch.equal(chosen, expected > 0)
        if gate_noise == "none":
            load = chosen.sum(0)
            assert torch.equal(moe.route("a", x)[0], scores)
        else:
            load = expert_load(logits, noisy, std, chosen)
        importance = torch.softmax(logits, -1).sum(0) if gate_noise == "fixed" else scores.sum(0)
    parts = [_squared_variation(values.double().numpy()) for values in (importance, load)]
    assert balance.item() == pytest.approx(sum(parts) / 2, rel=1e-4)
    assert torch.autograd.grad(balance, router.linear.weight)[0].any()


NOISES = ["fixed", "learned"]


def _tokens_and_noise():
    generator = torch.Generator().manual_seed(7)
    return torch.randn(64, 12, generator=generator), torch.randn(64, 6, generator=generator)


def _gradients(gate_noise, rows):
    """Gradients of the loss of these rows of the batch, with the noise that the whole batch has there."""
    torch.manual_seed(0)
    router = MoE(12, 9, 6, 2, ("a",), gate_noise=gate_noise).routers["a"]
    x, noise = (part[rows] for part in _tokens_and_noise())
    logits, std = router.logits("a", x), router.noise_std("a", x)
    noisy = logits + std * noise
    load = expert_load(logits, noisy, std, top_k_mask(noisy, 2))
    loss = balance_loss(torch.softmax(logits, -1).sum(0), load)
    loss.backward()
    return loss.detach(), [parameter.grad for parameter in router.parameters()]


def _rank(rank, path, queue):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{path}", rank=rank, world_size=2)
    found = []
    for gate_noise in NOISES:
        loss, gradients = _gradients(gate_noise, slice(32 * rank, 32 * rank + 32))
        for gradient in gradients:  # as data-parallel training does
            dist.all_reduce(gradient)
            gradient.div_(2)
        found.append([loss.numpy(), *(gradient.numpy() for gradient in gradients)])
    queue.put((rank, found))
    dist.barrier()
    dist.destroy_process_group()


def test_two_ranks_with_half_of_the_batch_have_the_loss_and_the_gradient_of_the_whole(tmp_path):
    context = mp.get_context("spawn")
    queue = context.Queue()
    ranks = [context.Process(target=_rank, args=(rank, tmp_path / "store", queue)) for rank in range(2)]
    for process in ranks:
        process.start()
    results = dict(queue.get(timeout=120) for _ in ranks)
    for process in ranks:
        process.join()
        assert process.exitcode == 0
    for i, gate_noise in enumerate(NOISES):
        loss, gradients = _gradients(gate_noise, slice(None))
        alone, _ = _gradients(gate_noise, slice(32))
        assert abs(loss - alone) > 1e-3 * loss  # half of the batch alone has another loss
        for rank in range(2):
            for found, expected in zip(results[rank][i], [loss, *gradients]):
                assert np.allclose(found, expected.numpy(), rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
