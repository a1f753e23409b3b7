"""The command line: dispatch of commands, their Hydra application, and checks before they run."""

from metadialog.cli.dispatch import COMMANDS, main

__all__ = ["COMMANDS", "main"]
