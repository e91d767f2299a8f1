"""Deciding, applying and rolling back routes, and what became of the money."""
