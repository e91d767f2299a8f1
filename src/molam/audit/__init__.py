"""The record of decisions: hash chains, one Merkle tree over all, and signed checkpoints."""
