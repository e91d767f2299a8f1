"""Disputes: what networks say of them, what merchants answer, and the money meanwhile."""
