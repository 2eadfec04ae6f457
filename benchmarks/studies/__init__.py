"""Studies of the maps, one package each: ``python -m benchmarks.studies.NAME`` measures and records."""
