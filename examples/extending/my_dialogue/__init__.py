"""An algorithm, a model and a data set outside metadialog's own package."""
