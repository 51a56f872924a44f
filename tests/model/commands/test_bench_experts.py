"""The command keeps its tables, and says what cannot be compared."""

import json

import pytest

from moesaic.errors import UserError
from moesaic.model.commands.bench_experts import BenchExpertsCommand
from moesaic.model.experiments.timing_settings import TimingSettings
from tests.model.calling import call


def test_tables_are_kept(own_recipe, tmp_path):
    words = ("--recipe", own_recipe, "--batch", 2, "--repeats", 1, "--output", tmp_path)
    assert call(BenchExpertsCommand, *words) == 0
    document = json.loads(TimingSettings(str(own_recipe), batch=2).path(tmp_path).read_text())
    assert [len(document[table]["rows"]) for table in ("training", "layer", "tasks")] == [4, 3, 3]
    assert (document["batch"], document["repeats"], document["threads"]) == (2, 1, 1)
    tasks = {row[0]: row for row in document["tasks"]["rows"]}
    assert tasks["depth"][1] < tasks["all"][1] < tasks["depth"][1] + tasks["segmentation"][1]
    assert tasks["depth"][2] < tasks["all"][2]


def test_what_cannot_be_compared_is_said(own_recipe, tmp_path):
    own_recipe.write_text(own_recipe.read_text().replace("expert_hidden = 16", "expert_hidden = 8"))
    with pytest.raises(UserError, match="2 experts of 8 units are not the MLP's 32"):
        call(BenchExpertsCommand, "--recipe", own_recipe, "--output", tmp_path)
