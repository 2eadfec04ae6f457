"""Runs over many photos: explaining them, their results on disk, and measuring these.

Everything here works without the command line. It tells what happens by small events to a callback, raises exceptions,
and prints nothing.
"""

from .annotations import Annotations
from .evaluation import Evaluation
from .executors import Executor, Serial
from .items import Item, choose, shard
from .measure import Result
from .photo_explainer import PhotoExplainer
from .processes import Processes
from .ray_executor import RayExecutor
from .report import Report
from .run import Outcome, Run
from .store import Results, Store

__all__ = [
    "Annotations",
    "Evaluation",
    "Executor",
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
    "choose",
    "shard",
]
