"""Image classifiers by name, and the photos to feed them.

``load("timm:resnet50")`` returns a ``Classifier``: a network together with what is needed to feed it a photo and to
name its classes. Each library of models has a file of its own, such as ``timm`` or ``huggingface``. Networks with other
inputs or outputs get a module around them, such as ``ChannelsLast``.
"""

from ..normalization import Normalization
from .adapters import ChannelsLast, Selected
from .classifier import IMAGENET, Classifier
from .efficientnet_lite import DEMO
from .hub import load
from .photo import demo_photo, read_photo
from .window import Window

__all__ = [
    "DEMO",
    "IMAGENET",
    "ChannelsLast",
    "Classifier",
    "Normalization",
    "Selected",
    "Window",
    "demo_photo",
    "load",
    "read_photo",
]
