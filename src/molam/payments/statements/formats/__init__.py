"""Readers of statement files; each makes the same lines of what its format says."""
