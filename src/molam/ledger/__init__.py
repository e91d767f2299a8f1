"""Double entry in integer minor units: accounts, transfers, exchange rates."""
