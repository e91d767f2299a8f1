"""The control room: what treasury sees and does."""
