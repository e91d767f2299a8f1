"""Approvals that other modules ask for, weighed by SIRA; one more kind of action."""
