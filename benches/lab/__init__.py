"""What the measuring commands share; Python's standard library only."""
