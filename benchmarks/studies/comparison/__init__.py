"""Which method when: sdfido's methods and others, at their own settings and at an equal number of classifier calls."""
