"""Real photos that lie in packages on PyPI, and what is measured on them."""
