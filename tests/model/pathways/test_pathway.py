"""A model on some pathways: what its routers choose, and that it is whole again afterwards."""

import pytest
import torch

from moesaic.errors import UserError
from moesaic.model.pathways.pathway import moe_blocks, on_pathways, pathway_of, whole_network
from moesaic.spec.bundle import Alternative
from tests.model.routing import current_pathways


def test_tokens_go_to_the_best_of_those_kept(model):
    with on_pathways(model, {"depth": Alternative(2, {1: (1, 4), 3: (0, 2, 5)})}):
        assert current_pathways(model)["depth"].pathway == {1: (1, 4), 3: (0, 2, 5)}
        moe, x = moe_blocks(model)[3], torch.randn(40, 32, generator=torch.Generator().manual_seed(0))
        scores, chosen, _ = moe.route("depth", x)
        logits = moe.logits("depth", x)[:, [0, 2, 5]]
        assert torch.equal(chosen[:, [0, 2, 5]].float().argmin(1), logits.argmin(1))  # all but the least of three
        assert torch.allclose(scores[chosen], torch.softmax(logits, -1)[chosen[:, [0, 2, 5]]])
        assert current_pathways(model)["normals"] == whole_network(model)["normals"]
    assert current_pathways(model) == whole_network(model)


def test_pathways_within_pathways_come_back_also_after_a_failure(model):
    outer, inner = (Alternative(1, {1: (n,), 3: (n + 1, n + 2)}) for n in (0, 3))
    with on_pathways(model, {"depth": outer, "normals": outer}):
        with pytest.raises(ZeroDivisionError), on_pathways(model, {"depth": inner}):
            assert current_pathways(model) == whole_network(model) | {"depth": inner, "normals": outer}
            raise ZeroDivisionError
        assert current_pathways(model) == whole_network(model) | {"depth": outer, "normals": outer}
    assert current_pathways(model) == whole_network(model)


@pytest.mark.parametrize(("asked", "found"), [(1, 1), (2, 1), (3, 1)])
def test_the_top_k_is_never_above_what_a_block_keeps(asked, found):
    assert pathway_of({1: (0, 1, 2), 3: (4,)}, asked) == Alternative(found, {1: (0, 1, 2), 3: (4,)})


@pytest.mark.parametrize(
    ("pathway", "message"),
    [
        (Alternative(1, {1: (0,), 3: ()}), "pathway of task depth has a block with 0 experts"),
        (Alternative(2, {1: (0, 1), 3: (4,)}), "depth cannot be: a token goes to 2 experts, a block keeps 1"),
        (Alternative(0, {1: (0, 1), 3: (4,)}), "a token goes to 0 experts"),
    ],
)
def test_pathways_that_no_token_can_take_are_refused(model, pathway, message):
    with pytest.raises(UserError, match=message), on_pathways(model, {"depth": pathway}):
        pass
    assert current_pathways(model) == whole_network(model)
