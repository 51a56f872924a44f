"""The benchmark of the experts: what it compares is comparable, and it writes its tables. No times are tested."""

import dataclasses
import json

import pytest
import torch

from model.configuration import load_recipe
from model.network.expert_benchmark import dense_of_equal_macs, loop_over_experts, main, specification_tasks
from model.network.moe import MoE
from spec.cost import frame_macs
from spec.errors import UserError

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


def test_tables_are_written(tmp_path):
    (tmp_path / "own.toml").write_text(RECIPE)
    out = tmp_path / "out"
    main(["--recipe", str(tmp_path / "own.toml"), "--batch", "2", "--repeats", "1", "--output", str(out)])
    document = json.loads((out / "experts.json").read_text())
    assert [len(table["rows"]) for table in document["tables"]] == [4, 3, 3]
    tasks = {row[0]: row for row in document["tables"][2]["rows"]}
    assert tasks["depth"][1] < tasks["all"][1] < tasks["depth"][1] + tasks["segmentation"][1]
    assert tasks["depth"][2] < tasks["all"][2]
    assert (out / "experts.md").read_text().count("\n## ") == 2
