"""The one exception that the commands print as a single line instead of a traceback."""

from fully_decoupled_ps.errors import UserError

__all__ = ["UserError"]
