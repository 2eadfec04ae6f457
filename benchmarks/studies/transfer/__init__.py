"""Whether relevance transfers between classifiers that differ in initialisation, task or pretraining data."""
