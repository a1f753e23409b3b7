"""Generation of replies with a model."""
