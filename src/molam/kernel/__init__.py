"""Pure vocabulary that every other package may use: no I/O, no clock, no randomness."""
