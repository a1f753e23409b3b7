"""The commands of the command line, each a Hydra application."""
