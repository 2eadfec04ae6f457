"""Maps of all methods on real photos."""
