"""How the meta-gradient is computed, and `meta_gradient` for any model and tasks."""

from metadialog.engines.functional.api import meta_gradient

__all__ = ["meta_gradient"]
