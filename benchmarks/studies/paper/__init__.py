"""What the paper on simplified concrete dropout claims, measured again."""
