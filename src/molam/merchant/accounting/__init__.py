"""A merchant's books: the ledger's movements as double entries on accounts of its choice."""
