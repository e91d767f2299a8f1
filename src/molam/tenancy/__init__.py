"""Merchants, people, and the directory of who holds which role since when."""
