"""Made-up wallets, people and days, for the demo and for tests."""
