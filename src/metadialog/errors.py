"""The errors that a user can cause, each with a message written for that user.

The command line prints the message as it is, without a traceback, and exits with code 2. A message names the
file, the key or the option, says what was wrong and what would be right.
"""


class MetadialogError(Exception):
    """Something that the user asked for cannot be done; the message is for the user."""


class ConfigError(MetadialogError):
    """An option has a wrong name or a wrong value."""


class DataError(MetadialogError):
    """A data file is missing or malformed, or holds too little for what was asked."""


class RunError(MetadialogError):
    """A run directory is missing, incomplete or does not fit what was asked of it."""


class PrunedError(MetadialogError):
    """A run has ended because the sweep that it belongs to has found better ones: nothing is wrong with it."""


class LostError(MetadialogError):
    """Another process of the same run has failed, or cannot be reached."""


class Terminated(KeyboardInterrupt):
    """The process was asked to end by a signal: handled like Ctrl-C, wherever that is handled."""
