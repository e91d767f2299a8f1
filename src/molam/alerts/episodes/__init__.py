"""Alerts from opening to end: who is told, who is spared, who took it on."""
