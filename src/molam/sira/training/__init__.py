"""Trains the health model; the one place that needs the extra ``models``."""
