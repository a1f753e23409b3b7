"""Serving of models over HTTP: a REST interface and a chat page."""
