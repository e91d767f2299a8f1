"""The ops console: where people decide what others asked for."""
