"""The operations dashboard: figures by the hour, widgets, and what is recommended."""
