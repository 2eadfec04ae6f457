"""Fills the generated blocks of the pages from the recorded results.

    python -m benchmarks.pages [--check]

The pages are Markdown that people write; only what stands between markers (benchmarks/common/markers.py) is generated.
With --check nothing is written, and the command fails if a page would change.
"""

import argparse
import sys
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.common import markers, paths, records
from benchmarks.speed import cuda_report, migration
from benchmarks.speed import report as speed
from benchmarks.studies.ablation import report as ablation
from benchmarks.studies.audit import example as audit_example
from benchmarks.studies.audit import report as audit
from benchmarks.studies.birds import report as birds
from benchmarks.studies.calm import report as calm
from benchmarks.studies.comparison import report as comparison
from benchmarks.studies.concepts import report as concepts
from benchmarks.studies.conformance import report as conformance
from benchmarks.studies.contrast import report as contrast
from benchmarks.studies.enhance import report as enhance
from benchmarks.studies.gallery import report as gallery
from benchmarks.studies.paper import report as paper
from benchmarks.studies.photos import report as photos
from benchmarks.studies.redundancy import report as redundancy
from benchmarks.studies.reliability import report as reliability
from benchmarks.studies.texts import report as texts
from benchmarks.studies.transfer import report as transfer


class Page(NamedTuple):
    blocks: Callable[..., markers.Blocks]
    results: tuple[str, ...]  # files of benchmarks/results, the arguments of blocks

    def made(self) -> markers.Blocks:
        return self.blocks(*(records.read(paths.RESULTS / f"{name}.json") for name in self.results))


PAGES = {
    "README.md": Page(speed.blocks, ("speed",)),
    "docs/benchmarks.md": Page(speed.blocks, ("speed",)),
    "docs/cuda.md": Page(cuda_report.blocks, ("cuda_kernels",)),
    "docs/guides/migration.md": Page(migration.blocks, ("migration",)),
    "docs/guides/audit.md": Page(audit_example.blocks, ("audit_example",)),
    "docs/studies/audit.md": Page(audit.blocks, ("audit", "audit_bursts")),
    "docs/studies/birds.md": Page(birds.blocks, ("birds",)),
    "docs/studies/calm.md": Page(calm.blocks, ("calm",)),
    "docs/studies/photos.md": Page(photos.blocks, ("photos", "birds")),
    "docs/studies/redundancy.md": Page(redundancy.blocks, ("redundancy",)),
    "docs/studies/comparison.md": Page(comparison.blocks, ("comparison",)),
    "docs/studies/concepts.md": Page(concepts.blocks, ("concepts",)),
    "docs/studies/conformance.md": Page(conformance.blocks, ("conformance",)),
    "docs/studies/contrast.md": Page(contrast.blocks, ("contrast",)),
    "docs/studies/gallery.md": Page(gallery.blocks, ("gallery",)),
    "docs/studies/reliability.md": Page(reliability.blocks, ("reliability",)),
    "docs/studies/texts.md": Page(texts.blocks, ("texts",)),
    "docs/studies/transfer.md": Page(transfer.blocks, ("transfer", "transfer_photos")),
    "docs/studies/ablation.md": Page(ablation.blocks, ("ablation", "throughput", "existing_code")),
    "docs/studies/enhance.md": Page(enhance.blocks, ("enhance",)),
    "docs/studies/paper.md": Page(paper.blocks, ("paper",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only fail if a page would change")
    check = parser.parse_args().check
    changed = []
    for name, page in PAGES.items():
        path = paths.ROOT / name
        text = path.read_text()
        filled = markers.filled(text, page.made())
        if filled != text:
            changed.append(name)
            if not check:
                path.write_text(filled)
    if check and changed:
        sys.exit(f"out of date: {', '.join(changed)}; run python -m benchmarks.pages")


if __name__ == "__main__":
    main()
