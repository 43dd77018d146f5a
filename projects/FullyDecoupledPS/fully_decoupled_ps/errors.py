"""The one exception that our commands print as a single line instead of a traceback."""


class UserError(ValueError):
    """Something that the user gave is wrong: a config value, a file, a field of a dataset.

    The message is one line that names the bad value, what is allowed, and how to fix it.
    """
