"""What the product measures of itself."""
