"""`metadialog sweep-config`: a sweep file of Weights & Biases, whose program is `metadialog train`."""

from metadialog.cli.wandb_sweep_file import run

__all__ = ["run"]
