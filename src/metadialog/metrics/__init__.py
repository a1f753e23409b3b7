"""How near a reply comes to a reference."""
