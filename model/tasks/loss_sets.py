"""The names of the loss sets among which a recipe chooses; a kind of task says its loss and weight in each (`moesaic.model.tasks.task`)."""

LOSS_SETS = ("scenes", "papers", "mtan")
DEFAULT_LOSSES = LOSS_SETS[0]
