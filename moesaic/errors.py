"""The errors that moesaic raises on purpose."""


class UserError(Exception):
    """Something the user can put right. One line that names the thing, the numbers and the remedy; exit code 2."""


class InternalError(Exception):
    """A broken promise between two parts of moesaic. Always a bug of ours."""
