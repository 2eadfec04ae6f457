"""All public functions that calls are generated of."""

from tests.fuzz.around import AROUND
from tests.fuzz.core import CORE
from tests.fuzz.folders import FOLDERS
from tests.fuzz.measures import MEASURES
from tests.fuzz.members import MEMBERS
from tests.fuzz.objects import Function

FUNCTIONS: dict[str, Function] = CORE | MEASURES | AROUND | MEMBERS | FOLDERS

_RESULTS = {
    *("Background", "Clusters", "CompositeSamples", "CueLocalisation", "Curve", "Enhancement", "Estimate", "Flag"),
    *("Group", "Masked", "Measures", "Outcome", "Progress", "PromptCheck", "Result", "Results", "Scene"),
}
_BASES = {"Executor", "Explainer", "Exportable", "Format", "Infill", "ModelScore", "Score"}

LEFT_OUT = {
    **dict.fromkeys(_RESULTS, "made by functions that are in the table"),
    **dict.fromkeys(_BASES, "what classes in the table are made of"),
    **dict.fromkeys(("build_info", "get_include"), "takes no argument"),
    "RayExecutor": "starts Ray's processes; the photos that it is given are checked by Run",
    "SigmoidConcreteDropout": "what sigmoid_concrete_dropout applies once the arguments are checked",
}
"""Public names that no calls are generated of, and why."""

COUNTS = {
    *("steps", "repeats", "count", "num_samples", "path_points", "num_fractions", "seeds", "draws", "roots", "batch"),
    *("iterations", "batch_size", "approx_steps", "max_batch", "classes", "workers", "resamples", "most", "max_nodes"),
    *("fractions", "size", "beam_width", "branching", "max_roots", "max_children", "window", "refresh", "epochs"),
}
"""Arguments that are counts: what they rightly cost grows with them."""

CALLED = {
    *("infill", "link", "output", "explain", "attribution", "encode_text", "guide", "on_step", "on_image", "spec"),
    *("targets", "infill_strategy", "objective", "model", "module"),
}
"""Arguments that may be functions: what a function of the user raises is the user's."""
