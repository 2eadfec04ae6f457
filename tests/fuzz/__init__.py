"""Generated calls of the public functions: none crashes, hangs, or fails without naming an argument."""
