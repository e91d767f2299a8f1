"""Payouts: when merchants are paid, which entries each payout pays, and what became of it."""
