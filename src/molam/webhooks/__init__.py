"""Merchants' webhooks: what they subscribe to, signing, delivery, retries, dead letters."""
