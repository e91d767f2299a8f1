"""What regions tell each other, and the corridors between them."""
