"""Schedules of the outer learning rate."""
