"""Whether maps for a text point at the part of a drawn bird that the text names, with a small CLIP-like model."""
