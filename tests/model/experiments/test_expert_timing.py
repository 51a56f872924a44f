"""The benchmark of the experts: what it compares is comparable, and it keeps its tables. No times are tested."""

import dataclasses
import json

import pytest
import torch
from rich.console import Console

from moesaic.errors import UserError
from moesaic.model.experiments import expert_timing
from moesaic.model.experiments.expert_timing import (
    dense_of_equal_macs,
    loop_over_experts,
    measure_once,
    specification_tasks,
)
from moesaic.model.experiments.timing_settings import TimingSettings
from moesaic.model.network.moe import MoE
from moesaic.model.recipes.recipe import load_recipe
from moesaic.spec.cost import frame_macs


@pytest.mark.parametrize("name", ["m3vit_tiny", "m3vit_small"])
def test_the_dense_network_has_as_many_macs_but_for_the_router(name):
    c = load_recipe(name).model
    dense = dense_of_equal_macs(c)
    macs = [frame_macs(x.architecture, specification_tasks(x)["depth"]) for x in (c, dense)]
    assert macs[0] - macs[1] == 6 * c.tokens * c.width * c.experts


def test_a_recipe_without_such_a_dense_network_is_refused():
    c = dataclasses.replace(load_recipe("m3vit_tiny").model, expert_hidden=300)
    with pytest.raises(UserError, match="2 experts of 300 units are not the MLP's 768"):
        dense_of_equal_macs(c)


def test_all_forms_of_the_layer_give_the_same():
    torch.manual_seed(0)
    moe, x = MoE(12, 9, 5, 2, ("a",)), torch.randn(40, 12)
    scores, chosen, _ = moe.route("a", x)
    expected = moe.mix_chosen(x, scores, chosen, None)
    assert torch.allclose(loop_over_experts(moe, x, scores, chosen), expected, atol=1e-6)
    assert torch.allclose(moe._mix_all(x, scores, chosen, None), expected, atol=1e-6)


def test_what_is_kept_is_not_measured_again(own_recipe, tmp_path, monkeypatch):
    settings, console = TimingSettings(str(own_recipe), batch=2, repeats=1), Console(quiet=True)
    first = measure_once(settings, tmp_path, console)
    path = settings.path(tmp_path)
    assert first == json.loads(path.read_text())
    count = []
    monkeypatch.setattr(expert_timing, "measure", lambda *_: count.append(1) or first)
    assert measure_once(settings, tmp_path, console) == first and not count
    path.write_text(json.dumps(first | {"measurements": 0}))  # as another program measured it
    assert measure_once(settings, tmp_path, console) == first == json.loads(path.read_text())
    measure_once(dataclasses.replace(settings, batch=4), tmp_path, console)
    own_recipe.write_text(own_recipe.read_text().replace("depth = 2", "depth = 4"))
    measure_once(settings, tmp_path, console)
    assert len(count) == 3 and len(list(tmp_path.glob("experts-own-*.json"))) == 3
