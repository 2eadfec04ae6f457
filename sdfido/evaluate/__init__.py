"""How good importance maps are: measured by the classifier, by a known truth, and by themselves.

Every measure takes maps of N images and gives one number, or one curve, an image, on their device. A higher value of a
map means a more important pixel; the scale of the values counts only where a measure says so, so that maps of any
method can be compared.
"""

from .agreement import rank_correlation, stability
from .background import Background, answers, background, from_around
from .coherence import components, total_variation
from .cues import CueLocalisation, average_precision, cue_localisation
from .curves import deletion, insertion, necessity, sufficiency
from .measure import AREAS, AT, TOP, Measures, measure
from .models import ModelAgreement, model_agreement
from .order import ranks, top
from .probe import Curve, Probe
from .prompts import PromptCheck, prompt_check
from .randomisation import label_randomisation, model_randomisation, randomised
from .seeds import agreed, over_seeds
from .transfer import CONTROLS, Masked, Transfer, transfer
from .truth import energy_outside, false_positive_rate, intersection_over_union, outside, pointing_game

__all__ = [
    "AREAS",
    "AT",
    "CONTROLS",
    "TOP",
    "Background",
    "CueLocalisation",
    "Curve",
    "Masked",
    "Measures",
    "ModelAgreement",
    "Probe",
    "PromptCheck",
    "Transfer",
    "agreed",
    "answers",
    "average_precision",
    "background",
    "components",
    "cue_localisation",
    "deletion",
    "energy_outside",
    "false_positive_rate",
    "from_around",
    "insertion",
    "intersection_over_union",
    "label_randomisation",
    "measure",
    "model_agreement",
    "model_randomisation",
    "necessity",
    "outside",
    "over_seeds",
    "pointing_game",
    "prompt_check",
    "randomised",
    "rank_correlation",
    "ranks",
    "stability",
    "sufficiency",
    "top",
    "total_variation",
    "transfer",
]
