"""Whether classifying the important region again makes a classifier better."""
