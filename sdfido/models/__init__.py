"""Image classifiers by name, and the photos to feed them.

``load("timm:resnet50")`` returns a ``Classifier``: a network together with what is needed to feed it a photo and to
name its classes. Each library of models has a file of its own: ``efficientnet_lite``, ``timm``, ``torchvision``.
"""

from ..normalization import Normalization
from .classifier import IMAGENET, Classifier
from .efficientnet_lite import DEMO
from .hub import load
from .photo import demo_photo, read_photo

__all__ = ["DEMO", "IMAGENET", "Classifier", "Normalization", "demo_photo", "load", "read_photo"]
