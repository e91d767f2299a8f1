"""Banks and wallets: which there are, which way money takes, and sending it exactly once."""
