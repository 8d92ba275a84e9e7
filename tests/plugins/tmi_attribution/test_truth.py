"""A truth can be sliced and moved to other images, computes what it knows once, and cannot be written into."""

import numpy as np
import pytest
import torch

import tmi
from tests.plugins.tmi_attribution.measures.cases import asked, sums
from tests.plugins.tmi_probes.toys import cnn_network, dataset
from tmi_attribution.build_truth import truth_of


@pytest.fixture(scope="module")
def truth():
    data = dataset(20)
    return truth_of(tmi.build("theorem1", data), data, 6, "black")


def test_a_slice_keeps_everything_of_its_images(truth):
    part = truth[2:4]
    assert len(part) == 2
    assert part.numbers.tolist() == [2, 3]
    for name in ("masks", "null", "exact"):
        assert np.array_equal(getattr(part, name), getattr(truth, name)[2:4])


def test_on_changed_images_the_exact_attribution_changes_with_them(truth):
    changed = truth.on(torch.zeros_like(truth.images))
    assert changed.null is None
    assert not changed.exact.any()
    assert np.array_equal(changed.masks, truth.masks)


def test_logits_of_several_changes_at_once(truth):
    both = torch.stack([truth.images, truth.baselines])
    assert truth.logit(both).shape == (2, 6)
    assert truth.logit(both)[0].tolist() == truth.logit(truth.images).tolist()


def test_what_is_known_is_computed_once(truth):
    calls = []
    assert [truth.once("a name", lambda: calls.append(1) or 5) for _ in range(2)] == [5, 5]
    assert calls == [1]


@pytest.mark.parametrize("name", ["masks", "null", "exact"])
def test_nothing_known_can_be_written_into(truth, name):
    with pytest.raises(ValueError, match="read-only"):
        getattr(truth, name)[:] = 1


def test_a_measure_cannot_write_into_the_truth():
    def spoils(maps, truth):
        truth.masks[:] = True
        return maps.sum((1, 2))

    with pytest.raises(ValueError, match="read-only"):
        tmi.probe("attribution-bench", cnn_network(), dataset(10), method="saliency", measures=[spoils])


def test_outputs_by_their_formulas():
    truth = asked(images=5, dtype=torch.float64)
    logits = truth.module(truth.images)
    own = logits.gather(1, truth.targets[:, None])[:, 0]
    assert truth.output(truth.images, "logit") == pytest.approx(own.numpy())
    assert truth.output(truth.images, "probability") == pytest.approx((own.exp() / logits.exp().sum(1)).numpy())
    assert truth.output(truth.images, "accuracy").tolist() == (logits.argmax(1) == truth.targets).double().tolist()
    assert truth.output(truth.images, "spread") == pytest.approx((logits.max(1)[0] - logits.min(1)[0]).numpy())


def test_classes_that_share_the_greatest_logit_share_the_accuracy():
    truth = asked(sums(), images=3)  # its logits on a black image are all 0
    assert truth.output(truth.baselines, "accuracy") == pytest.approx([1 / 3] * 3)


def test_against_other_baselines():
    truth = asked(images=4)
    assert truth.against(None) is truth
    assert truth.against("black") is truth
    other = truth.against("background")
    assert other is truth.against("background")
    assert torch.equal(other.baselines, truth.scenes.without_tiles().images)
    assert torch.equal(truth[1:3].against("background").baselines, other.baselines[1:3])
    assert not other.against("black").baselines.any()
