"""Whether a second look at what an explanation found important makes a classifier better."""
