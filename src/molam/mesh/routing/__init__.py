"""Which bank a payout would best take: proposals, and what each would do."""
