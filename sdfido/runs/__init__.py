"""Runs over many photos: explaining them, their results on disk, and measuring these.

Everything here works without the command line. It tells what happens by small events to a callback, raises exceptions,
and prints nothing.
"""

from .annotations import Annotations
from .audit import Audit
from .evaluation import Evaluation
from .executors import Executor, Serial
from .gallery import Gallery
from .items import Item, choose, shard
from .photo_explainer import PhotoExplainer
from .processes import Processes
from .ray_executor import RayExecutor
from .report import Report
from .results import Result
from .run import Outcome, Run
from .store import Results, Store
from .truth import Truth

__all__ = [
    "Annotations",
    "Audit",
    "Evaluation",
    "Executor",
    "Gallery",
    "Item",
    "Outcome",
    "PhotoExplainer",
    "Processes",
    "RayExecutor",
    "Report",
    "Result",
    "Results",
    "Run",
    "Serial",
    "Store",
    "Truth",
    "choose",
    "shard",
]
