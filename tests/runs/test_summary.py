"""What a summary says in plain words."""

from sdfido.runs import summary

ABOUT = {
    "photo": "cat.jpg",
    "label": "cat",
    "prob_image": 0.9,
    "prob_infill": 0.1,
    "prob_region_1": 0.88,
    "prob_region_2": 0.1,
    "kept_region_1": 0.2,
    "kept_region_2": 0.0,
    "prob_region_1_binary": 0.85,
    "prob_region_2_binary": 0.1,
    "area_region_1": 0.25,
    "area_region_2": 0.0,
    "maps": {"region_1": {"title": "Region 1"}, "region_2": {"title": "Region 2"}},
    "settings": {"kept_share": 0.9},
}


def test_regions_that_were_not_found_are_left_out():
    assert summary.sentence(ABOUT) == "25% of the photo alone gives 85.0%."


def test_a_region_of_no_cells_is_told_where_the_infill_suffices():
    told = summary.sentence(ABOUT | {"prob_infill": 0.85, "prob_region_2_binary": 0.85})
    assert told == "25% of the photo (Region 1) alone gives 85.0%; the infill alone gives 85.0%."


def test_regions_that_are_removed():
    about = ABOUT | {"removed_sdr": 0.3, "area_sdr": 0.004, "prob_sdr_binary": 0.05}
    assert summary.sentence(about).endswith("; without under 1% of the photo, 5.0% is left.")
    assert summary.sentence(about | {"area_sdr": 1.0}).endswith("; without all of the photo, 5.0% is left.")
    assert summary.sentence({"label": "cat", "prob_image": 0.9}) == ""
