"""Time and memory of the operators, of a whole step and of migrated code."""
