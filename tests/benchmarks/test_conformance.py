"""The conformance study: its list of models is whole, and a few of them run as it says."""

import pytest
import torch

from benchmarks.common import records
from benchmarks.studies.conformance import catalogue, checks, report
from benchmarks.studies.conformance.catalogue import Entry

QUICK = {
    "timm": ("test_mambaout", "convnext_atto", "levit_128s", "mobilenetv3_small_050", "vit_tiny_patch16_224"),
    "torchvision": ("squeezenet1_1", "shufflenet_v2_x0_5"),
    "transformers": ("SwinForImageClassification", "ResNetForImageClassification", "MobileViTForImageClassification"),
}
OTHERS = ("graph as of SpeciesNet, wrapped", "Classifier of sdfido", "one logit", "exported, any batch")


@pytest.mark.parametrize(
    "entry", [entry for entry in catalogue.entries() if entry.name in QUICK.get(entry.library, OTHERS)], ids=str
)
def test_models_run_with_nothing_but_themselves(entry: Entry):
    if entry.library in QUICK:
        pytest.importorskip(entry.library, reason=f"{entry.library} is not installed")
    threads = torch.get_num_threads()
    try:
        row = checks.check(entry)
    finally:
        torch.set_num_threads(threads)
    assert row["error"] is None
    assert row["finite"]
    assert row["repeatable"]
    assert row["apart"] == 0


def test_what_the_error_says_is_passed():
    threads = torch.get_num_threads()
    (entry,) = (entry for entry in catalogue.entries() if entry.name == "dict of two heads")
    row = checks.check(entry)
    torch.set_num_threads(threads)
    assert "choose one with sdfido.ClassScore(model, output=...)" in row["error"]
    assert row["remedied"]
    assert row["finite"]


def test_every_family_is_there():
    timm = pytest.importorskip("timm", reason="timm is not installed, and needs torchvision")
    families = {entry.family for entry in catalogue.entries() if entry.library == "timm"}
    assert families >= {name for name in timm.list_modules() if timm.list_models(module=name)}


def test_the_recorded_results_are_of_these_models():
    recorded = records.read(report.RESULTS)
    known = [(entry.library, entry.name) for entry in catalogue.entries()]
    rows = [(row["library"], row["name"]) for row in recorded["rows"]]
    assert rows == [each for each in known if each in rows]
    assert set(report.blocks(recorded)) >= {"goals", "summary", "refused", "conditions"}


def test_times_get_a_column():
    (entry,) = (entry for entry in catalogue.entries() if entry.name == "one logit")
    threads = torch.get_num_threads()
    milliseconds = checks.step_time(entry, 64)
    torch.set_num_threads(threads)
    assert milliseconds > 0
    results = records.read(report.RESULTS)
    (row,) = (row for row in results["rows"] if row["name"] == entry.name)
    row["step_ms"] = 12.3
    blocks = report.blocks(results | {"times": {"machine": results["machine"], "load": 0.1}})
    lines = {line.split("|")[1].strip(): line for line in blocks["models-others"].splitlines()}
    assert lines["model"].endswith("| ms a step |")
    assert lines["one logit"].endswith("12 |")
    assert lines["dict of two heads"].endswith("– |")
    assert "times taken on" in blocks["conditions"]
