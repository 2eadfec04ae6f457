"""Finished results in the formats of other programs: COCO, FiftyOne, 16-bit PNG, safetensors, WebDataset.

``Export`` reads the results of ``sdfido explain`` and writes one folder. Each format has a file of its own.
"""

from .base import Exportable, Format
from .export import FORMATS, Export

__all__ = ["FORMATS", "Export", "Exportable", "Format"]
