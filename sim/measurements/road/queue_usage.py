"""Which experts each task's tokens go to, read from the machine's queues after every `route` instruction."""

from __future__ import annotations

import re

import numpy as np

from moesaic.errors import InternalError
from moesaic.spec.build import Build
from moesaic.spec.bundle import Bundle
from moesaic.spec.machine import Fields, ReferenceMachine

_ROUTE_TAG = re.compile(r"blocks\.(\d+)\.route")

ExpertUsage = dict[str, dict[int, np.ndarray]]
"""Task to MoE block to the number of tokens per expert, int64 (experts,), summed over all frames run."""


class UsageRecorder:
    """Counts tokens in `usage`: attach `observe` to a reference machine and set `task` before each frame."""

    def __init__(self, bundle: Bundle, build: Build) -> None:
        self._bundle, self._tags = bundle, build.tags
        experts, blocks = bundle.architecture.experts, bundle.architecture.moe_blocks
        self.task = ""
        self._counted = np.zeros(experts, np.int64)
        self.usage: ExpertUsage = {
            task: {block: np.zeros(experts, np.int64) for block in blocks} for task in bundle.tasks
        }

    def observe(self, name: str, fields: Fields, machine: ReferenceMachine) -> None:
        """The hook: queue n of a `route` instruction holds the tokens of the n-th expert that the task keeps in that block.

        An instruction that appends adds to queues whose tokens were counted after the instruction before it.
        """
        if name != "route":
            return
        new = machine.queue_count - (self._counted if fields["append"] else 0)
        self._counted = machine.queue_count.copy()
        tag = self._tags[fields["tag"]]
        found = _ROUTE_TAG.fullmatch(tag)
        if found is None:
            raise InternalError(f"a route instruction has the tag {tag!r}, not that of a block")
        block = int(found[1])
        kept = list(self._bundle.tasks[self.task].pathway[block])
        self.usage[self.task][block][kept] += new[: len(kept)]
