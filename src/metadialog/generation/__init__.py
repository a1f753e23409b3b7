"""From a model and a prompt to a reply."""
