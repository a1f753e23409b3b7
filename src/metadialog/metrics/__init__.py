"""How near replies come to references, one reply at a time or many together."""
