"""Simulated banks and wallets: real HTTP servers whose temper a test can choose."""
