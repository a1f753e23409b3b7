"""Trained models behind HTTP: a documented REST interface, and a page."""
