"""The command line: which command is meant, its Hydra application, and what is checked before it runs."""

from metadialog.cli.dispatch import COMMANDS, main

__all__ = ["COMMANDS", "main"]
