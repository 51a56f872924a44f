"""Refuses sizes that the machine or its configuration does not support, however the memories are divided."""

from __future__ import annotations

from moesaic.errors import UserError
from moesaic.hls.compiler.lanes import rows_needed
from moesaic.hls.compiler.padded_layers import patch_bytes, stored_channels
from moesaic.hls.compiler.shared_routers import experts_of
from moesaic.hls.compiler.target import Target
from moesaic.spec.arithmetic import NORM_WIDTH_MAX
from moesaic.spec.heads import pools_first
from moesaic.spec.isa import OPERAND_BYTES

_COLUMNS_END = 1 << 16


def check_machine_limits(target: Target) -> None:
    """Raises UserError, with the size and the limit, if a size of the network exceeds what the machine supports."""
    a, c, tasks = target.architecture, target.configuration, [target.task(member) for member in target.members]

    def limit(what: str, needed: int, available: int, remedy: str = "") -> None:
        if needed > available:
            raise UserError(
                f"the model does not fit configuration {c.name}: {what} is {needed}, at most {available} are supported there{remedy}"
            )

    limit("the width", a.width, NORM_WIDTH_MAX)
    for block in sorted({block for task in tasks for block in task.pathway}):
        of_all = " of all results together" if len(tasks) > 1 else ""
        fewer = "; ask for fewer results of a run, or choose a configuration with more queue_tokens"
        limit(f"the number of tokens{of_all}", rows_needed(target), c.queue_tokens, fewer if of_all else "")
        experts = len(experts_of((task for task in tasks if block in task.pathway), block))
        limit(
            "the number of experts of a task" if len(tasks) == 1 else f"the number of experts{of_all}",
            experts,
            c.experts,
        )
    deepest = max(a.mlp_hidden, a.expert_hidden, patch_bytes(a), a.heads * target.head_pitch)
    limit("the depth of a product", deepest, OPERAND_BYTES)
    limit("the number of tokens", a.tokens, OPERAND_BYTES)
    for task in tasks:
        if pools_first(task):
            most = (OPERAND_BYTES - 2 * c.tile_depth) // 2
            limit("the number of tokens of which a head takes the mean", a.tokens, most)
        limit("the number of outputs per token", task.upscale * task.upscale * stored_channels(task), _COLUMNS_END - 1)
