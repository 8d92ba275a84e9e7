"""Tables that the report and the pages share."""

import tmi
from tmi_attribution import tables

from .boards import entry


def measured(method, dependence, chance, seeds=range(5)):
    """Results of probe randomisation that rise with the seed by 0.01."""
    return [
        entry(
            "cnn", method, tmi.ProbeResult({"dependence": dependence + s / 100, "dependence.chance": chance}), s, "randomisation"
        )
        for s in seeds
    ]


def test_dependence_on_the_weights_is_compared_with_maps_of_other_images():
    """Compared with 0 each of the three was "higher", input × gradient too, whose maps keep the order of the image."""
    entries = [*measured("input-x-gradient", 0.26, 0.91), *measured("saliency", 0.88, 0.68), *measured("grad-cam", 0.93, 0.95)]
    head, body = tables.randomisation(tmi.Results([*entries, *measured("lrp", 0.3, 0.9, seeds=[0])]))
    assert [row[:2] for row in body] == [("trained: CNN", name) for name in ("input-x-gradient", "saliency", "grad-cam")]
    words = dict(zip([row[1] for row in body], [row[head.index("beside them")] for row in body], strict=True))
    assert words == {"input-x-gradient": "lower", "saliency": "higher", "grad-cam": "not shown to differ"}
    assert body[0][head.index("dependence of |a|")] == "0.28 [0.26, 0.30]"
    assert body[0][head.index("of maps of other images")] == "0.91"
    assert body[0][head.index("dependence of a, signed")] is None


def test_no_results_no_rows():
    assert tables.randomisation(tmi.Results([]))[1] == []
