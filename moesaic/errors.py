"""The errors that moesaic raises on purpose."""


class UserError(Exception):
    """Something that the user can put right: one line that names the thing, the numbers and the remedy; exit code 2."""


class InternalError(Exception):
    """A broken promise between two parts of moesaic: always a bug of ours."""
