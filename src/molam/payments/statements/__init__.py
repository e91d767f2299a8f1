"""What banks say they booked, compared with what we expected of them, and the books of each day."""
