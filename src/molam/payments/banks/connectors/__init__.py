"""One module for each way of talking to a bank or a wallet."""
