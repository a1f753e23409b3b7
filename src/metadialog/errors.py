"""The errors that a user can cause.

The command line prints the message without a traceback, and exits with code 2. A message names the file, the key or the
option, and says what was wrong and what would be right.
"""


class MetadialogError(Exception):
    """Base class of errors with a message for the user."""


class ConfigError(MetadialogError):
    """An option has a wrong name or a wrong value."""


class DataError(MetadialogError):
    """A data file is missing, malformed or too small."""


class RunError(MetadialogError):
    """A run directory is missing, incomplete or unsuitable."""


class PrunedError(MetadialogError):
    """A run was stopped early because its sweep has found better ones; this is not a failure."""


class LostError(MetadialogError):
    """Another process of the same run has failed, or cannot be reached."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by a signal; handled like Ctrl-C."""
