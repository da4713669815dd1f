"""The API itself: one module per group, one plain function per operation, and the registry that finds them."""
