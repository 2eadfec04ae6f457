"""Whether the groups of a gallery are the parts of drawn birds whose species show in two parts."""
