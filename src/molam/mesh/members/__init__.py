"""Regions, their members, policies, and switches that stop everything."""
