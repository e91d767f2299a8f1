"""What is seen of banks, what is believed of them, and what SIRA predicts."""
