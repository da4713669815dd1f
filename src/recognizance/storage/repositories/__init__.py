"""One module for each kind of row: small functions that take a connection and decide nothing."""
