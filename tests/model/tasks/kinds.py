"""What the kinds of the project say of themselves, by name, for tests of all of them."""

from moesaic.model.tasks.registry import TASK_KINDS, task_kind
from moesaic.spec.heads import DENSE_KINDS

CHANNELS = {kind: task_kind(kind).channels for kind in TASK_KINDS.names if task_kind(kind).channels}
INVALID = {kind: task_kind(kind).truth.invalid for kind in DENSE_KINDS}
