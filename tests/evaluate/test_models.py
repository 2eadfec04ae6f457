"""Agreement between models, its control by other images, and maps of several sizes."""

import pytest
import torch

from sdfido import evaluate


def maps(seed, count=6, size=(12, 16)):
    return torch.rand(count, *size, generator=torch.Generator().manual_seed(seed))


def test_pairs_are_those_of_the_measures():
    a, b, c = maps(0), maps(1), maps(2)
    found = evaluate.model_agreement({"a": a, "b": b, "c": c}, area=0.25)
    assert found.models == ("a", "b", "c")
    assert torch.equal(found.rank[0, 1], evaluate.rank_correlation(a, b))
    assert torch.equal(found.rank[2, 1], evaluate.rank_correlation(c, b))
    torch.testing.assert_close(found.mean, evaluate.stability([a, b, c]))
    assert torch.equal(found.overlap[0, 2], evaluate.intersection_over_union(a, evaluate.top(c, 0.25)))
    assert torch.equal(found.rank.diagonal().T, torch.ones(3, 6))
    assert torch.equal(found.overlap.diagonal().T, torch.ones(3, 6))
    expected = evaluate.rank_correlation(a, torch.cat([b[1:], b[:1]])).mean()
    torch.testing.assert_close(found.other_images[0, 1], expected)


def test_what_all_images_share_is_told_by_other_images():
    centre = torch.zeros(1, 12, 16)
    centre[:, 3:9, 4:12] = 5
    blind = evaluate.model_agreement({"a": centre + maps(0), "b": centre + maps(1)})
    assert blind.rank[0, 1].min() > 0.4
    assert abs(float(blind.rank[0, 1].mean() - blind.other_images[0, 1])) < 0.05
    shown = maps(3)
    seeing = evaluate.model_agreement({"a": shown, "b": shown + 0.2 * maps(1)})
    assert seeing.rank[0, 1].min() > 0.9
    assert abs(float(seeing.other_images[0, 1])) < 0.2


def test_the_images_that_split_the_models_come_first():
    a, b = maps(0), maps(0)
    b[4] = -b[4]
    b[2] = 1.0  # no order at all
    found = evaluate.model_agreement({"a": a, "b": b})
    assert found.apart[:2].tolist() == [2, 4]
    assert "rank correlation     a     b" in str(found).splitlines()[0]
    assert found.table().splitlines()[1].split() == ["a", "1.00", "0.60"]  # of five images, one being the opposite
    assert found.table("overlap").startswith("overlap of the top 20%")


def test_maps_of_other_sizes_are_resized_and_arrays_are_taken():
    smooth = torch.linspace(0, 1, 16).expand(2, 12, 16).contiguous()
    large = torch.linspace(0, 1, 32).expand(2, 24, 32).numpy()
    found = evaluate.model_agreement({"a": smooth, "b": large})
    torch.testing.assert_close(found.rank[0, 1], torch.ones(2))
    one = evaluate.model_agreement({"a": smooth[:1], "b": large[:1]})
    assert one.other_images.isnan().all()


@pytest.mark.parametrize(
    ("given", "options", "error", "says"),
    [
        ([maps(0), maps(1)], {}, TypeError, "maps_by_model must be a mapping"),
        ({"a": maps(0)}, {}, ValueError, "two or more models, got 1"),
        ({"a": maps(0), "b": maps(1, 5)}, {}, ValueError, r"equally many images, got \[6, 5\]"),
        ({"a": maps(0), "b": maps(1).long()}, {}, TypeError, r"maps_by_model\['b'\] must be a floating-point"),
        ({"a": maps(0), "b": maps(1)}, {"area": 2.0}, ValueError, "area must be"),
    ],
)
def test_wrong_arguments(given, options, error, says):
    with pytest.raises(error, match=says):
        evaluate.model_agreement(given, **options)


def test_there_are_three_tables():
    with pytest.raises(ValueError, match="measure must be one of 'rank', 'overlap', 'other_images', got 'iou'"):
        evaluate.model_agreement({"a": maps(0), "b": maps(1)}).table("iou")
