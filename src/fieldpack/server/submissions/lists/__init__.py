"""Lists of submissions: what narrows and orders them."""
