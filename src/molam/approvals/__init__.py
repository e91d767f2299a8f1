"""Actions, policies, votes, execution. Knows nothing of what it approves."""
