"""Payments, refunds, payouts and disputes as wallets, cards and banks report them."""
