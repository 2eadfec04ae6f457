"""The claims of the paper on simplified concrete dropout, measured again."""
