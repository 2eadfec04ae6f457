"""Damaged files of every kind that sdfido reads, made from good ones: the same ones every time."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Table = dict[str, Any]


@dataclass(frozen=True)
class Damaged:
    """A file that something is wrong with, or only odd."""

    name: str  #: says what; a file name without its suffix
    content: bytes
    refused: bool | None = True  #: whether it cannot be read; None: either will do, such as where a byte is another


def damaged(content: bytes, name: str, cuts: int, flips: int, random_: random.Random) -> Iterator[Damaged]:
    """A file cut off at some places, with other bytes at some places, and empty."""
    for n in range(cuts):
        yield Damaged(
            f"{name}-cut-{n}", content[: random_.randrange(1, len(content) * (n + 1) // (cuts + 1) + 2)], None
        )
    for n in range(flips):
        other = bytearray(content)
        for _ in range(1 + n):
            other[random_.randrange(len(other))] ^= 1 << random_.randrange(8)
        yield Damaged(f"{name}-flip-{n}", bytes(other), None)
    yield Damaged(f"{name}-empty", b"")


# Summaries ------------------------------------------------------------------------------------------------------------


def summaries(good: bytes, seed: int = 2) -> list[Damaged]:
    """Files ``summary.json``, made from a good one."""
    found, table = [*damaged(good, "summary", 4, 5, random.Random(seed))], json.loads(good)
    for name, value in {
        **{"photo": 5, "label": ["x"], "prob_image": "much", "target": {"a": 1}, "settings": "none", "maps": [1]},
        **{"notes": "none", "files": {"a": 1}, "scale": {"sign": 7}, "model_spec": None, "infill": 3, "seed": 1.5},
        **{"question": {"value": "sideways"}, "build": [], "stream": True, "area_ssr": "large", "seconds": "long"},
        "geometry": {"photo": [1 << 20, 1 << 20], "box": [0, 0, 1, 1], "size": [16, 16], "inside": [0, 0, 16, 16]},
    }.items():
        found.append(Damaged(f"{name}-of-another-type", json.dumps(table | {name: value}).encode()))
    text = good.decode().strip()
    start = text[:-1].rstrip()
    more = {
        "twice": '"photo": "other"',
        "nan": '"more": NaN',
        "infinite": '"more": -Infinity',
        "large": '"more": 1e999',
    }
    more |= {"digits": f'"more": {"9" * 5000}', "half": '"more": ["\\ud800"]'}
    more |= {"deep": f'"more": {"[" * 50_000}{"]" * 50_000}'}
    for name, entry in more.items():
        found.append(Damaged(name, f"{start}, {entry}}}".encode()))
    found += [
        Damaged("share-of-settings", json.dumps(table | {"settings": {"kept_share": {"a": 1}}}).encode()),
        Damaged("not-utf8", good.replace(b'"photo"', b'"ph\xffto"')),
        Damaged("utf16", text.encode("utf-16")),
        Damaged("list", b"[]"),
        Damaged("null", b"null"),
        Damaged("behind", good + b"}"),
        Damaged("byte-order-mark", b"\xef\xbb\xbf" + good, False),
    ]
    return found


# Annotations ----------------------------------------------------------------------------------------------------------

_MEGADETECTOR: Table = {
    "images": [{"file": "a.jpg", "detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.1, 0.5, 0.5]}]}],
    "detection_categories": {"1": "animal"},
}
_PYTORCH_WILDLIFE: list[Table] = [
    {"file": "a.jpg", "detections": [{"category": "1", "confidence": 0.9, "bbox": [1, 1, 5, 5]}]}
]
_SPECIESNET: Table = {
    "predictions": [{"filepath": "a.jpg", "detections": [{"category": "1", "conf": 0.9, "bbox": [0.1, 0.1, 0.5, 0.5]}]}]
}
_COCO: Table = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 30, "height": 20}],
    "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}],
    "categories": [{"id": 1, "name": "fox"}],
}


def boxes(seed: int = 3) -> list[Damaged]:
    """Files with boxes, in the formats of detectors and data sets."""
    random_, found = random.Random(seed), []
    formats = {"megadetector": _MEGADETECTOR, "wildlife": _PYTORCH_WILDLIFE, "speciesnet": _SPECIESNET, "coco": _COCO}
    for name, good in formats.items():
        text = json.dumps(good).encode()
        found += damaged(text, name, 1, 2, random_)
        found.append(Damaged(f"{name}-box", text.replace(b'"bbox": [', b'"bbox": [[], ')))
        found.append(Damaged(f"{name}-far", text.replace(b'"bbox": [', b'"bbox": [1e999, ')))
        found.append(Damaged(f"{name}-nan", text.replace(b'"bbox": [', b'"bbox": [NaN, ')))
        found.append(Damaged(f"{name}-deep", text.replace(b'"bbox": [', b'"bbox": [' + b"[" * 50_000)))
    coco = json.dumps(_COCO)
    found.append(Damaged("coco-no-width", coco.replace('"width": 30', '"width": 0').encode()))
    found.append(Damaged("coco-width", coco.replace('"width": 30', '"width": "wide"').encode()))
    found.append(Damaged("coco-ids", coco.replace('"image_id": 1', '"image_id": [1]').encode()))
    found.append(Damaged("coco-turned", coco.replace("[1, 1, 5, 5]", "[5, 5, -4, -4]").encode()))
    return found


def tables() -> list[Damaged]:
    """Files ``boxes.csv``."""
    head = b"photo,x0,y0,x1,y1\n"
    return [
        Damaged("header", b"a,b\n1,2\n"),
        Damaged("words", head + b"a.jpg,one,2,3,4\n"),
        Damaged("short", head + b"a.jpg,1,2\n"),
        Damaged("infinite", head + b"a.jpg,1,2,inf,4\n"),
        Damaged("far", head + b"a.jpg,1,2,1e400,4\n"),
        Damaged("turned", head + b"a.jpg,9,2,3,4\n"),
        Damaged("nameless", head + b",1,2,3,4\n"),
        Damaged("not-utf8", head + b"\xff.jpg,1,2,3,4\n"),
        Damaged("field", head + b'"' + b"a" * 200_000 + b'",1,2,3,4\n'),
        Damaged("twice", head + b"a.jpg,1,2,3,4\na.png,1,2,3,4\n"),
    ]
