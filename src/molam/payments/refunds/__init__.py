"""Money that merchants and operations give back to customers."""
