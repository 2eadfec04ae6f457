"""The version of the package; pyproject.toml, build_info and the documentation read it here."""

__version__ = "0.1.0"
