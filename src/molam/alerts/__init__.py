"""What is measured and judged, the alerts that follow, and the actions they lead to."""
