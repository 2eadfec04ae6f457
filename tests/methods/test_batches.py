"""Many images at once: each gets what it gets alone, settles on its own, and memory stays bounded."""

import pytest
import torch

import sdfido
from sdfido import ops
from tests.methods.test_fido import QUICK, TinyNet
from tests.support import DEVICES

EVERYTHING = ("ssr", "sdr", "targets", "mask_logits", "trace", "steps")
PROBABILITIES = ("prob_image", "prob_infill", "prob_ssr", "prob_sdr", "prob_ssr_binary", "prob_sdr_binary")
SETTLING = {"steps": 80, "mask_size": 6, "num_samples": 2, "warmup": 5 / 80, "tolerance": 0.02}
SETTLING |= {
    "sparsity_weight": 1.0,
    "smoothness_weight": 0.1,
    "repeats": 1,
    "learning_rate": 0.45,
    "region_weight": 0.0,
}


def _images(n, size=24, seed=3):
    images = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return images * torch.linspace(0.05, 2.0, n)[:, None, None, None]  # some are harder than others


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cells", [6, 24])
def test_bits_do_not_depend_on_the_batch(device, cells):
    images, model = _images(5).to(device), TinyNet().to(device)
    max_batch = None if device == "cpu" else 4
    explainer = sdfido.FIDO(model, max_batch=max_batch, **(SETTLING | {"mask_size": cells}))
    batch = explainer.explain(images)
    for i in range(5):
        alone = explainer.explain(images[i], streams=[i])
        for name in (*EVERYTHING, *PROBABILITIES):
            torch.testing.assert_close(
                getattr(alone, name)[0], getattr(batch, name)[i], rtol=0, atol=0, equal_nan=True, msg=f"{name} of {i}"
            )


def test_order_and_company_do_not_matter():
    images, explainer = _images(4), sdfido.FIDO(TinyNet(), **SETTLING)
    batch = explainer.explain(images)
    other = explainer.explain(images[[3, 1]], streams=[3, 1])
    assert torch.equal(other.ssr, batch.ssr[[3, 1]])
    assert torch.equal(other.prob_sdr, batch.prob_sdr[[3, 1]])


def test_images_settle_one_by_one():
    images = _images(5)
    progress, finished = [], []
    explanation = sdfido.FIDO(TinyNet(), **SETTLING).explain(
        images, on_step=progress.append, on_image=lambda index, one: finished.append((index, one))
    )
    steps = explanation.steps
    assert steps.min() < steps.max() <= 80, steps
    assert [index for index, _ in finished] == sorted(range(5), key=lambda i: (int(steps[i]), i))
    assert len(progress) == steps.max()
    assert [p.converged for p in progress] == [int((steps <= p.step).sum()) for p in progress]
    for index, one in finished:
        assert len(one) == 1
        assert one.steps.item() == steps[index]
        assert torch.equal(one.ssr[0], explanation.ssr[index])
        assert torch.equal(one.prob_ssr[0], explanation.prob_ssr[index])
        converged = progress[int(steps[index]) - 1].parameters[index]
        assert torch.equal(converged, explanation.mask_logits[index])
        assert torch.equal(progress[-1].parameters[index], converged)  # and stays as it was
    assert explanation.trace[:, 0].isfinite().all()


def test_without_a_tolerance_all_steps_are_taken():
    explanation = sdfido.FIDO(TinyNet(), **(SETTLING | {"tolerance": 0.0, "steps": 30})).explain(_images(2))
    assert explanation.steps.tolist() == [30, 30]


def test_nothing_settles_while_the_weights_still_rise():
    settings = SETTLING | {"tolerance": 1.0, "warmup": 25 / 80}
    assert sdfido.FIDO(TinyNet(), **settings).explain(_images(1)).steps.tolist() == [40]


@pytest.mark.parametrize(("max_batch", "together"), [(None, 1), (4, 1), (8, 2), (9, 2), (100, 5), (3, 1)])
def test_memory_is_bounded(monkeypatch, max_batch, together):
    made, asked = [], []
    original = ops.sample_composites

    def watched(logits, image, infill, *arguments, **settings):
        made.append(len(logits))
        return original(logits, image, infill, *arguments, **settings)

    class Watched(TinyNet):
        def forward(self, x):
            asked.append(len(x))
            return super().forward(x)

    monkeypatch.setattr(ops, "sample_composites", watched)
    settings = QUICK | {"num_samples": 2, "max_batch": max_batch}
    sdfido.FIDO(Watched(), **settings).explain(_images(5))
    assert max(made) == together
    assert max(asked) <= (max_batch or 4)


def test_an_error_in_finished_stops_the_explanation():
    class Stopped(Exception):
        pass

    def stop(index, explanation):
        raise Stopped

    model = TinyNet().train()
    with pytest.raises(Stopped):
        sdfido.FIDO(model, **QUICK).explain(_images(2), on_image=stop)
    assert model.training


class Viewing(TinyNet):
    """Refuses channels-last features, as models that flatten by view() do."""

    def forward(self, x):
        return 4 * self.head(self.layers(x).view(len(x), -1))


def test_the_memory_format_is_the_one_that_the_model_takes():
    formats = []

    def watch(module, inputs):
        formats.append(inputs[0].is_contiguous(memory_format=torch.channels_last))

    for model, last in ((TinyNet(), True), (Viewing(), False)):
        with model.register_forward_pre_hook(watch):
            sdfido.FIDO(model, **QUICK).explain(_images(2))
        assert formats[-1] == last
    with pytest.raises(RuntimeError, match="view"):
        sdfido.FIDO(Viewing(), channels_last=True, **QUICK).explain(_images(2))
