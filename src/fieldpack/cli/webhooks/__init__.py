"""`fieldpack hook`: webhooks."""
