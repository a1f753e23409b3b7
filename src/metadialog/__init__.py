"""metadialog: few-shot dialogue by meta-learning."""

from importlib.metadata import version

__version__ = version("metadialog")
