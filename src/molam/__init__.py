"""Payment operations for West African merchants and the banks behind them."""

__version__ = "2026.11.0"
