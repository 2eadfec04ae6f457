"""What a summary says in a line."""

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
    assert summary.outcome(ABOUT) == "cat 90.0%; Region 1, 25% kept: 85.0%"


def test_a_region_of_no_cells_is_told_where_the_infill_suffices():
    told = summary.outcome(ABOUT | {"prob_infill": 0.85, "prob_region_2_binary": 0.85})
    assert told == "cat 90.0%; Region 1, 25% kept: 85.0%; Region 2, 0% kept: 85.0%"
