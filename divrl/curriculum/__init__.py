"""Which domain is trained when."""
