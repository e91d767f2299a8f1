"""When a measured value is an alert, and how each watched tenant stands."""
