"""An algorithm, a model, a data set and a metric outside metadialog's own package."""
