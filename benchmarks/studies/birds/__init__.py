"""Maps of all methods on drawn birds, where it is known which pixels decide."""
