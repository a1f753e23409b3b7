"""Data sets: reading, cleaning and describing dialogues."""
