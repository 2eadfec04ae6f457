"""Measurements of sdfido: its speed, and studies of what its maps are worth.

Run from the repository's root: ``python -m benchmarks.speed.suite``, ``python -m benchmarks.studies.birds``, ...
"""
