"""Structured attention graphs: planted alternatives are found, graphs are true, saved, drawn, and bits stay."""

import dataclasses
import itertools
import random

import pytest
import torch

import sdfido
from sdfido import AttentionGraph, Explanation, PatchGraph, methods, reports, runs
from sdfido.methods.attention_graph import AttentionGraphSettings
from sdfido.methods.sufficient_sets import Search, Shares, members, windows
from tests.cli.support import RESULTS, draw, names, prepare, run, summary_of
from tests.methods.test_fido import OneByOne, TinyNet
from tests.test_docs import first_column

SIDE = 7
BLACK = {"infill": torch.zeros(()), "guide": "patches"}


class Planted:
    """Confident where all patches, which are pixels, of one alternative are kept; partly so for a part of them.

    The log-odds are ``12 e - 6`` plus noise weights of single pixels, where ``e`` is the best alternative's
    ``partial * mean(kept) + (1 - partial) * product(kept)``.
    """

    def __init__(self, *alternatives, partial, noise=0.0, seed=0):
        self.alternatives, self.partial = [list(each) for each in alternatives], partial
        weights = noise * torch.randn(SIDE * SIDE, generator=torch.Generator().manual_seed(seed))
        weights[list(itertools.chain(*alternatives))] = 0
        self.weights = weights

    def __call__(self, images):
        kept = images.flatten(1)
        parts = [kept[:, each] for each in self.alternatives]
        found = [self.partial * part.mean(1) + (1 - self.partial) * part.prod(1) for part in parts]
        odds = 12 * torch.stack(found).amax(0) - 6 + kept @ self.weights
        return torch.stack([odds, torch.zeros_like(odds)], 1)


def _whole():
    return torch.ones(1, 1, SIDE, SIDE)


def _roots(explanation):
    (graph,) = AttentionGraph.graphs(explanation)
    return {graph.nodes[root] for root in graph.roots}


def _images(n=3, size=24, seed=0):
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("partial", "noise", "guide"),
    [
        (0.5, 0.0, "patches"),
        (0.5, 0.3, "patches"),
        (0.05, 0.3, "patches"),
        pytest.param(0.5, 0.3, "fido", marks=pytest.mark.slow),
        pytest.param(0.05, 0.3, "fido", marks=pytest.mark.slow),
    ],
)
def test_planted_pairs_are_found(partial, noise, guide):
    """The harder ones have noise as large as the evidence of half a pair."""
    found = 0
    for case in range(60):
        a, b, c, d = random.Random(case).sample(range(SIDE * SIDE), 4)
        model = Planted((a, b), (c, d), partial=partial, noise=noise, seed=case)
        explanation = AttentionGraph(model, guide=guide, max_nodes=10, infill=torch.zeros(())).explain(_whole(), 0)
        found += _roots(explanation) == {tuple(sorted(pair)) for pair in ((a, b), (c, d))}
    assert found >= 57


def test_parts_of_different_sizes_are_separate_roots():
    model = Planted((3, 10), (24, 31, 32), (40, 41, 47, 48), partial=0.3)
    explanation = AttentionGraph(model, **BLACK).explain(_whole(), 0)
    assert AttentionGraph.graphs(explanation)[0].formula == (
        "P3 and P10, or P24 and P31 and P32, or P40 and P41 and P47 and P48"
    )
    assert explanation.roots.tolist() == [3]
    smallest = torch.zeros(49, dtype=torch.bool)
    smallest[[3, 10]] = True
    assert torch.equal(explanation.kept_cells.flatten(), smallest)
    assert float(explanation.area_sag) == pytest.approx(2 / 49)
    assert float(explanation.prob_sag_binary) >= 0.9 * float(explanation.prob_image)
    importance = explanation.sag.flatten()
    assert set(importance.nonzero().flatten().tolist()) == {3, 10, 24, 31, 32, 40, 41, 47, 48}
    # Alone 3 keeps sigmoid(12 * 0.15 - 6) of sigmoid(6).
    loss = 1 - float(torch.sigmoid(torch.tensor(-4.2)) / torch.sigmoid(torch.tensor(6.0)))
    assert float(importance[3]) == pytest.approx((1 + loss) / 6, abs=1e-5)


@pytest.mark.parametrize(("overlap", "expected"), [(0, 1), (1, 3)])
def test_roots_share_as_many_patches_as_is_allowed(overlap, expected):
    model = Planted((8, 20), (8, 30), (8, 40), partial=0.3)
    explanation = AttentionGraph(model, max_overlap=overlap, **BLACK).explain(_whole(), 0)
    assert len(_roots(explanation)) == expected
    assert _roots(AttentionGraph(model, max_roots=2, **BLACK).explain(_whole(), 0)) == {(8, 20), (8, 30)}


def test_windows_are_squares_of_patches():
    assert windows((3, 4), 0) == []
    assert [members(each) for each in windows((2, 3), 2)] == [[0, 1, 3, 4], [1, 2, 4, 5]]
    assert [members(each) for each in windows((2, 3), 5)] == [[0, 1, 2, 3, 4, 5]]
    assert len(windows((7, 7), 3)) == 25


def test_with_windows_a_root_lies_in_one_place():
    """Anywhere, the pair of far patches is a root; in windows, it is not, although it is smaller."""
    model = Planted((0, 48), (9, 10, 17), (33, 39, 40), partial=0.3)
    near = {(9, 10, 17), (33, 39, 40)}
    assert _roots(AttentionGraph(model, **BLACK).explain(_whole(), 0)) == near | {(0, 48)}
    assert _roots(AttentionGraph(model, window=2, **BLACK).explain(_whole(), 0)) == near
    far = AttentionGraph(Planted((0, 48), (6, 42), partial=0.3), window=3, **BLACK).explain(_whole(), 0)
    assert len(_roots(far)) == 1  # no window suffices


def test_an_infill_that_suffices_needs_no_patch():
    explanation = AttentionGraph(lambda x: torch.stack([x.new_ones(len(x)), x.new_zeros(len(x))], 1)).explain(_whole())
    assert AttentionGraph.graphs(explanation)[0].formula == "nothing"
    assert float(explanation.area_sag) == 0
    assert float(explanation.sag.max()) == 0


@pytest.mark.parametrize("settings", [{}, {"expanded_share": 0.0, "max_children": 9}, {"max_nodes": 12}])
def test_graphs_are_true(settings):
    model = OneByOne().eval().requires_grad_(False)
    explainer = AttentionGraph(model, mask_size=4, max_evaluations=150, **settings)
    images = _images(2)
    explanation = explainer.explain(images)
    infill = explainer.infill(images)
    for place, graph in enumerate(AttentionGraph.graphs(explanation)):
        target, whole = int(explanation.targets[place]), float(explanation.prob_image[place])

        def share(node, place=place, target=target, whole=whole):
            cells = torch.zeros(1, 1, 1, 16)
            cells[..., list(node)] = 1
            composite = sdfido.blend(cells.view(1, 1, 1, 4, 4), images[[place]], infill[[place]])[0, 0]
            return float(model(composite).softmax(1)[0, target]) / whole

        assert len(set(graph.nodes)) == len(graph.nodes) <= explainer.settings.max_nodes
        for node, told in zip(graph.nodes, graph.shares, strict=True):
            assert told == pytest.approx(share(node), abs=1e-5)
        for parent, child, removed in graph.edges:
            assert set(graph.nodes[parent]) - set(graph.nodes[child]) == {removed}
            assert len(graph.nodes[parent]) == len(graph.nodes[child]) + 1
            assert graph.shares[parent] > explainer.settings.expanded_share
        roots = [graph.nodes[root] for root in graph.roots]
        assert roots == list(graph.nodes[: len(roots)])
        for root in roots:
            assert share(root) >= 0.9 - 1e-5
            assert all(share(set(root) - {patch}) < 0.9 + 1e-5 for patch in root)
        assert all(len(set(a) & set(b)) <= 1 for a, b in itertools.combinations(roots, 2))


def test_equal_subsets_are_one_node():
    model = Planted((0, 1, 2), partial=0.9)
    settings = {"expanded_share": 0.0, "kept_share": 0.99}
    (graph,) = AttentionGraph.graphs(AttentionGraph(model, **settings, **BLACK).explain(_whole(), 0))
    assert set(graph.nodes) == {part for size in range(4) for part in itertools.combinations(range(3), size)}
    assert len(graph.edges) == 12  # of a cube


@pytest.mark.parametrize("seed", range(5))
def test_search_against_all_sets(seed):
    """Of a random score that grows with the set: roots are minimal, independent, and the smallest is found."""
    values = [random.Random(seed).random() ** 3 for _ in range(10)]
    pairs = [random.Random(100 + seed).sample(range(10), 2) for _ in range(6)]

    def score(one):
        kept = members(one)
        return sum(values[i] for i in kept) + sum(a in kept and b in kept for a, b in pairs)

    whole = score(1023)
    shares = Shares(lambda sets: [score(one) / whole for one in sets], 10)
    settings = AttentionGraphSettings(kept_share=0.5, beam_width=10, max_overlap=0)
    roots = Search(shares, sorted(range(10), key=lambda i: -values[i]), settings).roots()
    enough = [one for one in range(1024) if score(one) >= 0.5 * whole]
    for root in roots:
        assert root in enough
        assert not any(root & ~(1 << patch) in enough for patch in members(root))
    assert roots[0].bit_count() == min(one.bit_count() for one in enough)
    free = 1023 & ~sum(roots)
    assert free not in enough


def test_a_set_is_asked_for_once():
    asked = []

    def ask(sets):
        asked.extend(sets)
        return [one.bit_count() / 9 for one in sets]

    shares = Shares(ask, 9)
    Search(shares, range(9), AttentionGraphSettings()).roots()
    assert len(set(asked)) == len(asked) == shares.asked
    assert 0b111111111 not in asked


@pytest.mark.parametrize("max_batch", [None, 4])
@pytest.mark.parametrize("guide", ["patches", "fido"])
def test_bits_do_not_depend_on_the_batch(guide, max_batch):
    images = _images(3)
    explainer = AttentionGraph(TinyNet(), mask_size=4, guide=guide, max_batch=max_batch, max_evaluations=150)
    batch = explainer.explain(images)
    for i in range(3):
        alone = explainer.explain(images[i], streams=[i])
        for group in ("maps", "scores", "parts"):
            for name, tensor in getattr(alone, group).items():
                other = getattr(batch, group)[name][[i]]
                torch.testing.assert_close(tensor, other, rtol=0, atol=0, equal_nan=True, msg=f"{name} of {i}")


def test_callbacks_and_no_images():
    ready, steps = [], []
    explainer = AttentionGraph(TinyNet(), mask_size=3)
    whole = explainer.explain(_images(2), on_image=lambda *given: ready.append(given), on_step=steps.append)
    assert [place for place, _ in ready] == [0, 1]
    assert torch.equal(Explanation.stack([one for _, one in ready]).sag, whole.sag)
    assert [(each.step, each.steps, each.converged) for each in steps] == [(1, 2, 1), (2, 2, 2)]
    empty = explainer.explain(_images(0))
    assert (len(empty), empty.sag.shape, AttentionGraph.graphs(empty)) == (0, (0, 24, 24), [])


def test_a_guide_that_works_in_place_changes_nothing():
    def ramp(given):
        found = torch.linspace(0, 1, 24).expand(1, 24, 24) * given.abs().mean()
        given.zero_()
        return found

    images = _images(2)
    expected, found = (
        AttentionGraph(TinyNet(), mask_size=4, max_evaluations=40, guide=guide).explain(images)
        for guide in (lambda one: ramp(one.clone()), ramp)
    )
    assert torch.equal(found.sag, expected.sag)
    assert torch.equal(found.prob_sag, expected.prob_sag)


def test_any_guide():
    images = _images(2)
    ramp = torch.linspace(0, 1, 24).expand(2, 24, 24)
    fido = sdfido.FIDO(TinyNet(), steps=2, mask_size=4)
    maps = fido.explain(images).ssr
    by = {
        guide: AttentionGraph(TinyNet(), mask_size=4, max_evaluations=100, guide=given).explain(images)
        for guide, given in {
            "tensor": ramp,
            "one": ramp[:1],
            "callable": lambda one: ramp[:1],
            "explainer": fido,
            "its map": maps,
        }.items()
    }
    assert by["tensor"].settings["guide"] == "tensor [2, 24, 24]"
    assert by["explainer"].settings["guide"]["steps"] == 2
    for name in ("one", "callable"):
        assert torch.equal(by[name].node_shares.nan_to_num(), by["tensor"].node_shares.nan_to_num())
    assert torch.equal(by["explainer"].nodes, by["its map"].nodes)


def test_saving_and_loading(tmp_path):
    explanation = AttentionGraph(TinyNet(), mask_size=4).explain(_images(2))
    explanation.save(tmp_path / "sag.npz")
    graphs = AttentionGraph.graphs(Explanation.load(tmp_path / "sag.npz"))
    assert graphs == AttentionGraph.graphs(explanation)
    for graph in graphs:
        graph.save(tmp_path / "graph.json")
        assert PatchGraph.load(tmp_path / "graph.json") == graph
        written = graph.to_dict()
        assert [node["root"] for node in written["nodes"]].count(True) == len(graph.roots)
        assert len(written["edges"]) == len(graph.edges)


def test_networkx():
    networkx = pytest.importorskip("networkx")
    graph = PatchGraph((2, 2), ((0, 1), (2, 3), (0,), (3,)), (0.95, 0.9, 0.5, 0.1))
    found = graph.to_networkx()
    assert networkx.is_directed_acyclic_graph(found)
    assert set(found.edges(data="removed")) == {(0, 2, 1), (1, 3, 2)}
    assert found.nodes[1] == {"patches": (2, 3), "share": 0.9, "root": True}


def test_without_networkx(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "networkx", None)
    with pytest.raises(ImportError, match="pip install networkx"):
        PatchGraph((1, 1), ((0,),), (1.0,)).to_networkx()


def test_graphs_are_drawn(tmp_path):
    graph = PatchGraph((3, 2), ((0, 1, 4), (3, 4), (0, 1), (0, 4), (3,), (4,)), (0.97, 0.91, 0.6, 0.5, 0.3, 0.05))
    pixels = torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(0))
    figure = reports.attention_graph(graph, pixels, label="cup")
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert {"97%", "91%", "60%", "50%", "30%", "5%", "What is enough for “cup”?"} <= set(shown)
    assert "Sufficient: P0 and P1 and P4, or P3 and P4." in " ".join(shown)
    thumbnails = figure.axes[0].images
    assert len(thumbnails) == 7  # with the photo itself
    dark = thumbnails[2].get_array()  # patches 3 and 4 kept
    torch.testing.assert_close(torch.tensor(dark[0, 0]).double(), 0.1 * pixels[:, 0, 0].double())
    torch.testing.assert_close(torch.tensor(dark[29, 0]).double(), pixels[:, 29, 0].double())
    outlines = [patch for patch in figure.axes[0].patches if patch.get_edgecolor()[0] > patch.get_edgecolor()[1]]
    assert len(outlines) == len(graph.edges) == 5
    assert len({patch.get_linewidth() for patch in outlines}) > 1
    reports.save(figure, tmp_path / "graph.png")
    assert "of which 1 are drawn" in " ".join(
        text.get_text() for text in reports.attention_graph(graph, pixels, roots=1).axes[0].texts
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kept_share": 0}, "kept_share must be above 0"),
        ({"kept_share": 1.1}, "kept_share"),
        ({"beam_width": 0}, "beam_width must be at least 1"),
        ({"branching": 1.5}, "branching"),
        ({"max_overlap": -1}, "max_overlap"),
        ({"window": -1}, "window must be at least 0"),
        ({"max_nodes": 9}, "max_nodes must be an integer, at least max_roots=10"),
        ({"mask_size": (3, 0)}, "mask_size"),
        ({"expanded_share": 2.0}, "expanded_share"),
        ({"guide": "igos"}, "guide must be one of 'fido', 'patches'"),
        ({"guide": 3}, "guide must be one of"),
        ({"guide": torch.full((1, 2, 2), torch.nan)}, "guide must be finite"),
        ({"guide": torch.zeros(2, 2)}, "guide must be"),
        ({"steps": 3}, "settings of AttentionGraph are"),
    ],
)
def test_settings_that_do_not_fit(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        AttentionGraph(TinyNet(), **settings)


def test_images_that_do_not_fit():
    with pytest.raises(ValueError, match="mask_size must not exceed the image, 24x24"):
        AttentionGraph(TinyNet(), mask_size=25).explain(_images())
    with pytest.raises(ValueError, match="guide must be a map for each of 3 images, or one, got 2"):
        AttentionGraph(TinyNet(), guide=torch.zeros(2, 4, 4)).explain(_images())
    with pytest.raises(ValueError, match="guide must return one map"):
        AttentionGraph(TinyNet(), guide=lambda images: torch.zeros(2, 4, 4)).explain(_images())

    class Hollow(sdfido.ClassScore):
        def confidence(self, images, targets):
            found = super().confidence(images, targets)
            return torch.where(images.flatten(1).std(1) < 0.9, torch.nan, found)

    with pytest.raises(RuntimeError, match="confidence must be finite"):
        AttentionGraph(Hollow(TinyNet()), guide="patches").explain(_images())

    class Negative(sdfido.ClassScore):
        def confidence(self, images, targets):
            return -super().confidence(images, targets)

    with pytest.raises(ValueError, match=r"positive confidence for each image, .*, got -"):
        AttentionGraph(Negative(TinyNet())).explain(_images())
    with pytest.raises(ValueError, match="use guide='patches'"):
        AttentionGraph(lambda images: TinyNet()(images).detach()).explain(_images())
    with pytest.raises(ValueError, match="explanation must be by method 'sag'"):
        AttentionGraph.graphs(sdfido.FIDO(TinyNet(), steps=1).explain(_images(1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "another"}, "format"),
        ({"nodes": [{"patches": [9], "share": 1.0}]}, "0..3"),
        ({"nodes": [{"patches": [1, 0], "share": 1.0}]}, "ascending"),
        ({"nodes": [{"patches": [0], "share": 1.0}] * 2}, "equal"),
        ({"nodes": [{"patches": [0]}]}, "no entry 'share'"),
        ({"nodes": [{"patches": [0], "share": float("nan")}]}, "finite"),
    ],
)
def test_tables_that_are_no_graph(change, message):
    table = PatchGraph((2, 2), ((0,),), (1.0,)).to_dict()
    with pytest.raises(ValueError, match=message):
        PatchGraph.from_dict(table | change)


def test_it_is_found_by_name():
    assert methods.load("sag") is AttentionGraph


def test_the_page_has_all_settings():
    assert first_column("methods/sag.md", "Settings") == {
        field.name: str(field.default) for field in dataclasses.fields(AttentionGraphSettings)
    }


def test_the_command_line_writes_the_graph(tmp_path, monkeypatch):
    draw(tmp_path / "red.png", (250, 20, 20))
    for _ in prepare(tmp_path, monkeypatch):
        options = ["explain", "red.png", "--model", "colour_models:make", "--method", "sag", "--mask-size", "3"]
        options += ["--infill", "zeros"]  # a blur leaves a photo of one colour as it is
        result = run(*options)
        assert result.exit_code == 0, result.output
        assert "SAG keeps " in result.stdout
        assert names(tmp_path / "out") == sorted([*RESULTS, "graph.json", "graph.png"])
        graph = PatchGraph.load(tmp_path / "out/graph.json")
        assert [graph] == AttentionGraph.graphs(Explanation.load(tmp_path / "out/explanation.npz"))
        assert summary_of(tmp_path / "out")["roots"] == len(graph.roots)
        assert "explained already" in run(*options).stdout
        (tmp_path / "out/graph.json").unlink()
        assert "explained already" not in run(*options).stdout
        assert (tmp_path / "out/graph.json").exists()
        chosen = runs.choose([tmp_path], tmp_path / "other")  # without the pictures of the results
        assert [item.path.name for item in chosen] == ["blue.png", "red.png"]
