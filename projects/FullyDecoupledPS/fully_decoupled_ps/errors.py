"""The one exception that our commands print as a single line instead of a traceback."""


class UserError(ValueError):
    """Something that the user gave is wrong: a config value, a file, a field of a dataset.

    The message is one line that names the bad value, what is allowed, and how to fix it.
    """

    def __str__(self) -> str:
        """The one line, also of an error that a data loader's process has wrapped.

        PyTorch raises it again with the process's traceback in its message, whose last line is
        "<module>.UserError: <message>".
        """
        message = super().__str__()
        if "Original Traceback" in message:
            return message.rstrip().splitlines()[-1].partition("UserError: ")[2]
        return message
