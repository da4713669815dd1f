"""What every room may use: errors, settings, clock, ids and logging."""
