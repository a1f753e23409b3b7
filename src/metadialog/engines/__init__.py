"""Engines compute the meta-gradient; `meta_gradient` does so for any model and tasks."""

from metadialog.engines.functional.api import meta_gradient

__all__ = ["meta_gradient"]
