"""Composing a config with Hydra, from overrides as one types them; mistakes cost one line."""
