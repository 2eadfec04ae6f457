"""Which feature of a class answers which part of drawn birds, and how well few features reproduce its logit."""
