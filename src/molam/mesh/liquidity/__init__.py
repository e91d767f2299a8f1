"""Pools, positions, forecasts of need, and plans that move money between banks."""
