"""From an alert to an action, and whether it helped."""
