"""Boxes from the files of detectors and data sets, the photos that they mean, and the masks that they become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sdfido.models import Classifier, Normalization
from sdfido.runs import Result, Truth
from sdfido.runs.detections import read
from sdfido.runs.matching import match, match_places
from sdfido.runs.truth import sites

PLAIN = Normalization((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def result(photo: str, place: str = "x", **about: Any) -> Result:
    return Result(Path("/out") / place, Path(place), {"photo": photo, **about})


def batch(*photos: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"images": list(photos), **more}


def found(category: str, conf: float, *bbox: float) -> dict[str, Any]:
    return {"category": category, "conf": conf, "bbox": list(bbox)}


def test_megadetector(tmp_path: Path) -> None:
    categories = {"1": "animal", "2": "person", "3": "vehicle"}
    first = {"file": "a/1.jpg", "detections": [found("1", 0.9, 0.1, 0.2, 0.3, 0.4), found("2", 0.9, 0, 0, 1, 1)]}
    older = {"file": "2.jpg", "max_detection_conf": 0.3, "detections": [found("1", 0.19, 0, 0, 1, 1)]}
    failed = {"file": "3.jpg", "failure": "Failure image access", "detections": None}
    path = write(tmp_path / "d.json", batch(first, older, failed, detection_categories=categories, info={}))
    entries = read(path)
    assert [(entry.photo, entry.relative, entry.size) for entry in entries] == [
        ("a/1.jpg", True, None),
        ("2.jpg", True, None),
        ("3.jpg", True, None),
    ]
    assert entries[0].boxes == (pytest.approx((0.1, 0.2, 0.4, 0.6)),)
    assert entries[1].boxes == entries[2].boxes == ()
    assert len(read(path, confidence=0.1)[1].boxes) == 1
    assert read(path, categories=["PERSON"])[0].boxes == ((0, 0, 1, 1),)


def test_the_list_of_microsofts_package(tmp_path: Path) -> None:
    boxes = [{"category": name, "confidence": 0.8, "bbox": [10, 20, 30, 60]} for name in ("animal", "person")]
    (entry,) = read(write(tmp_path / "d.json", [{"file": "a.jpg", "detections": boxes}]))
    assert (entry.boxes, entry.relative) == (((10, 20, 30, 60),), False)


def test_speciesnet(tmp_path: Path) -> None:
    boxes = [
        {"category": "1", "label": label, "conf": 0.8, "bbox": [0.5, 0, 0.5, 0.5]} for label in ("animal", "human")
    ]
    content = {"predictions": [{"filepath": "a.jpg", "detections": boxes}, {"filepath": "b.jpg"}]}
    first, second = read(write(tmp_path / "p.json", content))
    assert (first.boxes, first.relative, second.boxes) == (((0.5, 0, 1, 0.5),), True, ())


def test_coco_camera_traps(tmp_path: Path) -> None:
    images = [
        {"id": "i", "file_name": "a.jpg", "width": 100, "height": 50, "location": 7, "seq_id": "q"},
        {"id": 2, "file_name": "b.jpg"},
    ]
    annotations = [
        {"image_id": "i", "category_id": 3, "bbox": [10, 20, 30, 10]},
        {"image_id": "i", "category_id": 0},
        {"image_id": 2, "category_id": 0, "bbox": [0, 0, 5, 5]},
    ]
    categories = [{"id": 0, "name": "empty"}, {"id": 3, "name": "red fox"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    first, second = read(write(tmp_path / "c.json", content))
    assert (first.boxes, first.relative, first.size, first.site) == (((10, 20, 40, 30),), False, (100, 50), "7")
    assert (first.sequence, second.sequence) == ("q", None)
    assert (second.boxes, second.size, second.site) == ((), None, None)


def test_sites_and_sequences_can_be_written_whatever_they_are(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "location": "\ud800", "seq_id": "s\udfff"}],
        "annotations": [],
    }
    (entry,) = read(write(tmp_path / "c.json", content))
    assert (entry.site, entry.sequence) == ("?", "s?")


def coco(width: int, height: int, *bbox: float) -> dict[str, Any]:
    image = {"id": 1, "file_name": "a.jpg", "width": width, "height": height}
    return {"images": [image], "annotations": [{"image_id": 1, "category_id": 1, "bbox": list(bbox)}]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (batch({"file": "a.jpg", "detections": [found("1", 0.9, 10, 20, 30, 40)]}), "or are pixels: 'a.jpg'"),
        (batch(*[{"file": "a.jpg", "detections": []}] * 2), "several entries of 'a.jpg'"),
        (
            batch(*[{"file": f"{n}.jpg", "detections": [found("1", 1, 0, 0, -1, 1)]} for n in range(5)]),
            "no negative size, not so in '0.jpg', '1.jpg', '2.jpg' and 2 more",
        ),
        (coco(40, 20, 0.1, 0.1, 0.5, 0.5), "in pixels, as its format says; these are parts of the photo: 'a.jpg'"),
        (
            coco(40, 20, 0, 0, 9, 9) | {"images": [{"id": "1", "file_name": "a.jpg"}]},
            "its annotations have none of the ids of its images, but such as 1",
        ),
        ({"photos": []}, "must be a file of MegaDetector, SpeciesNet or COCO"),
        (
            batch({"file": "a.jpg", "detections": [{"category": "1"}]}),
            "as these are: an entry 'conf' is missing",
        ),
    ],
)
def test_files_that_cannot_be(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(ValueError, match=r"^truth '.*d\.json' must") as caught:
        read(write(tmp_path / "d.json", content))
    assert says in str(caught.value)


def test_what_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text("file,x\n")
    with pytest.raises(ValueError, match=r"must be JSON, or a folder with masks or boxes\.csv: "):
        read(tmp_path / "d.json")
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        read(tmp_path / "none.json")


def test_paths_are_compared_from_their_ends() -> None:
    results = [
        result("photos/A/IMG_1.JPG", "A/IMG_1"),
        result("photos/B/IMG_1.JPG", "B/IMG_1"),
        result("photos/B/IMG_2.JPG", "B/IMG_2", photo_path="../../../data/photos/B/IMG_2.JPG"),
        result("photos/B/IMG_3.JPG", "B/IMG_3"),
        result("photos/B/IMG_4.JPG", "B/IMG_4"),
    ]
    names = ["D:\\traps\\photos\\b\\img_1.jpg", "A/IMG_1.JPG", "/data/photos/B/IMG_2.JPG", "other/IMG_3.JPG", "5.JPG"]
    assert match(results, names, "truth") == [1, 0, 2, 3, None]


def test_a_name_that_another_folder_has_is_not_taken() -> None:
    results = [result("A/1.jpg", "A/1"), result("B/1.jpg", "B/1")]
    assert match(results, ["A/1.jpg"], "truth") == [0, None]
    assert match(results, ["C/1.jpg"], "truth") == [None, None]
    assert match([result("x/B/1.jpg")], ["1.jpg", "B/1.jpg"], "truth") == [1]  # the longest counts


def test_names_without_a_suffix() -> None:
    results = [result("A/1.jpg", "A/1"), result("B/1.JPG", "B/1"), result("B/1.jpg.png", "B/1.jpg")]
    assert match(results, ["b\\1", "A/1"], "labels") == [1, 0, None]
    assert match(results, ["B/1.jpg"], "labels") == [None, 0, None]
    with pytest.raises(
        ValueError, match=r"labels must tell photos .* cannot for \"1 \(may be 'A/1\.jpg', 'B/1\.JPG'\)"
    ):
        match(results, ["1"], "labels")


def test_places_in_out_come_before_paths() -> None:
    results = [result("p/x.png", "x"), result("p/sub/x.png", "sub/x"), result("p/x.jpg", "x-2")]
    assert match_places(results, ["x.png"], "truth") == [0, None, None]
    assert match_places(results, ["sub\\X", "x-2"], "truth") == [None, 0, 1]
    assert match_places(results, ["p/x.jpg", "/d/p/sub/x.png"], "truth") == [None, 1, 0]
    # two folders that were explained together
    results = [result("A/x.png", "x"), result("B/x.png", "x-2")]
    assert match_places(results, ["B/x.png", "x"], "truth") == [1, 0]
    with pytest.raises(ValueError, match="must tell photos of the same file name apart"):
        match_places(results, ["x.png"], "truth")


def test_the_same_photo_in_several_folders_of_results() -> None:
    results = [result("p/x.png", "x"), result("p/sub/x.png", "sub/x")]
    assert match_places([*results, result("p/sub/x.png", "x")], ["sub/x.png"], "truth") == [None, 0, 0]
    alone = [result("red.png", ".")]
    assert match_places(alone, ["red.png"], "truth") == match_places(alone, ["red"], "truth") == [0]


def test_paths_of_another_machine() -> None:
    results = [result(f"/data/traps/{site}/{n}.jpg", f"{site}/{n}") for site in "AB" for n in range(3)]
    names = [f"D:\\2024\\{site}\\{n}.jpg" for site in "ABC" for n in range(3)]
    assert match(results, names, "truth") == [0, 1, 2, 3, 4, 5]
    assert (
        match(results, ["D:\\2024\\A\\0.jpg", "E:\\B\\0.jpg"], "truth") == [None] * 6
    )  # no front that is most of theirs


@pytest.mark.parametrize(
    ("photos", "names", "says"),
    [
        (["A/1.jpg", "B/1.jpg"], ["1.jpg"], "1.jpg (may be 'A/1.jpg', 'B/1.jpg')"),
        (["1.jpg"], ["A/1.jpg", "B/1.jpg"], "1.jpg (may be 'A/1.jpg', 'B/1.jpg')"),
    ],
)
def test_photos_that_cannot_be_told_apart(photos: list[str], names: list[str], says: str) -> None:
    results = [result(photo, f"r{n}") for n, photo in enumerate(photos)]
    with pytest.raises(ValueError, match="truth must tell photos of the same file name apart, cannot for") as caught:
        match(results, names, "truth")
    assert says in str(caught.value)


def classifier(size: tuple[int, int], **more: Any) -> Classifier:
    return Classifier("none", nn.Identity(), PLAIN, size, interpolation="box", **more)


def photo(width: int, height: int, orientation: int = 1) -> Image.Image:
    image = Image.new("RGB", (width, height))
    image.getexif()[0x0112] = orientation
    return image


def mask(seen: torch.Tensor | None) -> list[int]:
    """First row and column, and the ones behind the last."""
    assert seen is not None
    rows, columns = np.nonzero(seen.numpy())
    assert seen.sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    return [int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1]


def truth(tmp_path: Path, content: Any) -> Truth:
    return Truth([write(tmp_path / "t.json", content)], [result("a.jpg")])


def test_boxes_go_through_the_crop_of_the_photo(tmp_path: Path) -> None:
    known = truth(tmp_path, batch({"file": "a.jpg", "detections": [found("1", 1, 0.25, 0.2, 0.25, 0.4)]}))
    # 80 x 40 becomes 40 x 20, of which the middle 20 x 20 is seen; squashed, all of it
    assert mask(known.find(photo(80, 40), result("a.jpg"), classifier((20, 20)))) == [4, 0, 12, 10]
    assert mask(known.find(photo(80, 40), result("a.jpg"), classifier((20, 20), crop_mode="squash"))) == [4, 5, 12, 10]
    assert mask(known.find(photo(80, 40), result("a.jpg"), classifier((20, 20), crop_mode="border"))) == [7, 5, 11, 10]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_boxes_of_photos_that_are_stored_turned(tmp_path: Path, orientation: int) -> None:
    turned = orientation in (6, 8)
    width, height = (20, 40) if turned else (40, 20)  # upright
    picture = photo(40, 20, orientation)
    # of the upright photo, whatever turned it
    upright = truth(tmp_path, coco(width, height, 0, 0, 10, 5)).find(
        picture, result("a.jpg"), classifier((height, width))
    )
    assert mask(upright) == [0, 0, 5, 10]
    if turned:  # of the photo as it is stored: the corner where its first pixel is goes elsewhere
        stored = truth(tmp_path, coco(40, 20, 0, 0, 10, 5)).find(picture, result("a.jpg"), classifier((40, 20)))
        assert mask(stored) == {6: [0, 15, 10, 20], 8: [30, 0, 40, 5]}[orientation]


def test_boxes_of_another_resolution(tmp_path: Path) -> None:
    known = truth(tmp_path, coco(400, 200, 100, 100, 100, 50)).find(
        photo(40, 20), result("a.jpg"), classifier((20, 40))
    )
    assert mask(known) == [10, 10, 15, 20]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (coco(30, 30, 0, 0, 10, 5), "must be of a photo as this one, 40x20, got 30x30"),
        (coco(40, 20, 30, 0, 30, 5), "must have boxes inside the photo, 40x20, got x0, y0, x1, y1 = 30, 0, 60, 5"),
    ],
)
def test_boxes_that_do_not_fit_the_photo(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(ValueError, match=r"truth of 'a\.jpg'") as caught:
        truth(tmp_path, content).find(photo(40, 20), result("a.jpg"), classifier((20, 40)))
    assert says in str(caught.value)


def test_a_box_that_the_classifier_does_not_see(tmp_path: Path) -> None:
    known = truth(tmp_path, batch({"file": "a.jpg", "detections": [found("1", 1, 0, 0, 0.1, 1)]}))
    assert known.find(photo(80, 40), result("a.jpg"), classifier((20, 20))) is None


def test_a_truth_of_other_photos(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", batch({"file": "b.jpg", "detections": []}))
    with pytest.raises(ValueError, match=r"must name the photos, but has none of 'a\.jpg'; it has 'b\.jpg'"):
        Truth([path], [result("a.jpg")])


def boxes(folder: Path, *rows: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "boxes.csv").write_text("\n".join(["photo;x0;y0;x1;y1", *rows]))
    return folder


@pytest.mark.parametrize("name", ["A/1", "A\\1.JPG", "/data/p/A/1.jpg", "D:\\p\\a\\1.jpg", "p/A/1.jpg"])
def test_rows_of_boxes_name_photos_as_files_do(tmp_path: Path, name: str) -> None:
    results = [result("p/A/1.jpg", "A/1"), result("p/B/1.jpg", "B/1")]
    known = Truth([boxes(tmp_path / "t", f"{name};10;5;20;15")], results)
    assert [known.knows(each) for each in results] == [True, False]
    assert mask(known.find(photo(40, 20), results[0], classifier((20, 40)))) == [5, 10, 15, 20]
    assert known.find(photo(40, 20), results[1], classifier((20, 40))) is None
    assert known.about(results[0]) == "[(10, 5, 20, 15)]"


def test_a_row_of_boxes_is_of_the_photo_with_its_suffix(tmp_path: Path) -> None:
    results = [result("p/twin.jpg", "twin"), result("p/twin.png", "twin-2")]
    known = Truth([boxes(tmp_path / "t", "twin.png;10;5;20;15")], results)
    assert [known.knows(each) for each in results] == [False, True]


def test_boxes_of_a_larger_photo(tmp_path: Path) -> None:
    known = Truth([boxes(tmp_path / "t", "a.jpg;10;5;90;15")], [result("a.jpg")])
    with pytest.raises(ValueError, match=r"boxes inside the photo, 40x20, got x0, y0, x1, y1 = 10, 5, 90, 15 for 'a'"):
        known.find(photo(40, 20), result("a.jpg"), classifier((20, 40)))


def test_folders_of_other_photos(tmp_path: Path) -> None:
    says = r"must name the photos, but has none of 'p/a\.jpg'; it has 'b\.jpg', and no mask such as S/a\.png"
    with pytest.raises(ValueError, match=says):
        Truth([boxes(tmp_path / "t", "b.jpg;10;5;20;15")], [result("p/a.jpg", "S/a")])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"it names none, and no mask such as S/a\.png"):
        Truth([tmp_path / "empty"], [result("p/a.jpg", "S/a")])


@pytest.mark.parametrize("orientation", [3, 6])
def test_masks_that_are_stored_turned(tmp_path: Path, orientation: int) -> None:
    """A mask with the Exif orientation of its photo lies where the photo shows it."""
    drawn = Image.new("L", (40, 20))
    drawn.paste(255, (0, 0, 10, 5))
    exif = Image.Exif()
    exif[0x0112] = orientation
    drawn.save(tmp_path / "a.png", exif=exif)
    known, size = Truth([tmp_path], [result("a.jpg", "a")]), {3: (20, 40), 6: (40, 20)}[orientation]
    shown = known.find(photo(40, 20, orientation), result("a.jpg", "a"), classifier(size))
    assert mask(shown) == {3: [15, 30, 20, 40], 6: [0, 15, 10, 20]}[orientation]


def test_sites(tmp_path: Path) -> None:
    results = [result("p/A/1.jpg", "A/1"), result("p/B/2.jpg", "B/2"), result("3.jpg", "3")]
    boxes = [{"file": f"{n}.jpg", "detections": []} for n in (1, 2, 3)]
    plain = Truth([write(tmp_path / "t.json", batch(*boxes))], results)
    assert sites(results, plain) == sites(results, plain, "folders") == ["A", "B", None]
    content = {"images": [{"id": 1, "file_name": "1.jpg", "location": "ridge"}], "annotations": []}
    assert sites(results, Truth([write(tmp_path / "c.json", content)], results)) == ["ridge", None, None]
    (tmp_path / "sites.csv").write_text("photo,site\nA/1.jpg,hill\n3.jpg,lake\n")
    assert sites(results, plain, tmp_path / "sites.csv") == ["hill", None, "lake"]
    (tmp_path / "others.csv").write_text("photo,site\nA/7.jpg,hill\n")
    with pytest.raises(ValueError, match=r"others\.csv' must name the photos, but has none of .*; it has 'A/7\.jpg'"):
        sites(results, plain, tmp_path / "others.csv")
    (tmp_path / "bad.csv").write_text("name,site\na,b\n")
    with pytest.raises(ValueError, match=r"must have the columns photo, site in its first line, .*, got 'name,site'"):
        sites(results, plain, tmp_path / "bad.csv")
    with pytest.raises(ValueError, match="cannot be read: No such file or directory; give a CSV file, or 'folders'"):
        sites(results, plain, tmp_path / "none.csv")
