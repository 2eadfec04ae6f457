"""Pictures of the pages, in WebP: small, and sharp at the width of a page.

    python -m benchmarks.common.pictures out/overview.png docs/img/demo.webp

converts a picture, such as the one that ``sdfido demo --out out`` draws.
"""

import argparse
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from sdfido.files import replacing

QUALITY = {"quality": 70, "method": 6}
WIDTH = 1400  # pixels, at most

INK, MUTED, OUTLINE, OURS = "#1b1b1f", "#6b6b76", "#ff2d55", "#c8102e"  # colours


def save(figure: Figure, path: Path) -> None:
    """Write a figure atomically, at its own resolution or at the widest that a page needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    resolution = min(figure.dpi, WIDTH / figure.get_size_inches()[0])
    with replacing(path) as part:
        figure.savefig(part, format="webp", dpi=resolution, pil_kwargs=QUALITY)


def convert(source: Path, target: Path) -> None:
    """Write a picture anew as WebP, scaled down where it is wider than a page needs."""
    picture = Image.open(source).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as part:
        picture.save(part, format="webp", **QUALITY)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    convert(arguments.source, arguments.target)


if __name__ == "__main__":
    main()
