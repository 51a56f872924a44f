"""The benchmark of the experts: what it compares is comparable, and it keeps its tables. No times are tested."""

import dataclasses
import json

import pytest
import torch
from rich.console import Console

from moesaic.errors import UserError
from moesaic.model.experiments import expert_timing as expert_benchmark
from moesaic.model.experiments.expert_timing import (
    Settings,
    dense_of_equal_macs,
    loop_over_experts,
    main,
    measure_once,
    specification_tasks,
)
from moesaic.model.network.moe import MoE
from moesaic.model.recipes.recipe import load_recipe
from moesaic.spec.cost import frame_macs

RECIPE = """
[model]
image_height = 16
image_width = 16
patch = 8
width = 16
depth = 2
heads = 2
mlp_hidden = 32
experts = 4
top_k = 2
expert_hidden = 16
tasks = [{ name = "segmentation", channels = 6 }, { name = "depth", channels = 1 }]

[training]
steps = 1
batch = 2
learning_rate = 1e-3
warmup = 0
pool = 2
"""


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


@pytest.fixture
def own_recipe(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(RECIPE)
    return path


def test_tables_are_kept(own_recipe, tmp_path):
    assert main(["--recipe", str(own_recipe), "--batch", "2", "--repeats", "1", "--directory", str(tmp_path)]) == 0
    document = json.loads(Settings(str(own_recipe), batch=2).path(tmp_path).read_text())
    assert [len(document[table]["rows"]) for table in ("training", "layer", "tasks")] == [4, 3, 3]
    assert (document["batch"], document["repeats"], document["threads"]) == (2, 1, 1)
    tasks = {row[0]: row for row in document["tasks"]["rows"]}
    assert tasks["depth"][1] < tasks["all"][1] < tasks["depth"][1] + tasks["segmentation"][1]
    assert tasks["depth"][2] < tasks["all"][2]


def test_what_cannot_be_compared_is_one_line(own_recipe, tmp_path, capsys):
    own_recipe.write_text(RECIPE.replace("expert_hidden = 16", "expert_hidden = 8"))
    assert main(["--recipe", str(own_recipe), "--directory", str(tmp_path)]) == 2
    assert "2 experts of 8 units are not the MLP's 32" in capsys.readouterr().err


def test_what_is_kept_is_not_measured_again(own_recipe, tmp_path, monkeypatch):
    settings, console = Settings(str(own_recipe), batch=2, repeats=1), Console(quiet=True)
    first = measure_once(settings, tmp_path, console)
    path = settings.path(tmp_path)
    assert first == json.loads(path.read_text())
    count = []
    monkeypatch.setattr(expert_benchmark, "measure", lambda *_: count.append(1) or first)
    assert measure_once(settings, tmp_path, console) == first and not count
    path.write_text(json.dumps(first | {"measurements": 0}))  # as another program measured it
    assert measure_once(settings, tmp_path, console) == first == json.loads(path.read_text())
    measure_once(dataclasses.replace(settings, batch=4), tmp_path, console)
    own_recipe.write_text(RECIPE.replace("depth = 2", "depth = 4"))
    measure_once(settings, tmp_path, console)
    assert len(count) == 3 and len(list(tmp_path.glob("experts-own-*.json"))) == 3
