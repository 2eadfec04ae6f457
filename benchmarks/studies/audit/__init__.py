"""Whether an audit finds planted shortcuts, and accuses no model without one, on drawn camera-trap scenes."""
