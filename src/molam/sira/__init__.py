"""The models: what is ordinary, and what is not. Floats live here; money does not."""
