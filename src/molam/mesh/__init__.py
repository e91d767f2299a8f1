"""The failover mesh: banks that fail are found out, and payouts are led to those that do not."""
