"""Which rules decide an action: the policy language, and policies themselves."""
