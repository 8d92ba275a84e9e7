"""The page in Chromium: no error, equal to PyTorch, moved by mouse and keys, at every width and in both colours."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from tests.browser import chromium, needs_chromium
from tests.tmi.report.explorer.answers import ASK, check
from tmi.plugins.registry import installed
from tmi.report.explorer import write
from tmi.report.explorer.payload import _chosen
from tmi.report.explorer.sources import from_names

pytestmark = [pytest.mark.slow, needs_chromium]

NAMES = ("theorem1", "superposed", "cnn(epochs=3)")
DATA = "fashion(source='sample', samples=400, test_samples=30)"
EXPLORER = "document.querySelector('.tmi-explorer').explorer"
WORLD = "structuredClone(JSON.parse(document.querySelector('.tmi-explorer-data').textContent)[0])"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page, its data set and its networks."""
    file = tmp_path_factory.mktemp("explorer") / "page.html"
    source = from_names(installed(), NAMES, DATA)
    assert write([source, from_names(installed(), ("theorem1", "printed-squares"), "squares(samples=5)")], file, title="t") == []
    data = source.dataset()
    return file, data, source.build(data)[0]


@pytest.fixture(scope="module")
def browser():
    with chromium() as page:
        yield page


@pytest.fixture
def page(browser, made):
    browser.open(made[0])
    drawn(browser)
    return browser


def drawn(page):
    """Wait until two frames are drawn."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def state(page):
    return page.evaluate(f"{EXPLORER}.state")


def shown_logits(page):
    return page.evaluate(f"{EXPLORER}.cards.map(card => Array.from(card.network.operations.at(-1).output))")


def test_it_answers_as_pytorch(page, made):
    _, data, networks = made
    check(page.evaluate(f"{ASK}({WORLD})"), data, networks)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 800, 1400])
def test_no_error_no_overflow_no_barrier(browser, made, width, dark):
    browser.open(made[0], width=width, dark=dark)
    drawn(browser)
    browser.evaluate(f"{EXPLORER}.cards.forEach(card => {EXPLORER}.choose(card.network, card.layers[0], 7))")
    drawn(browser)
    assert browser.overflow() == []
    assert browser.axe() == []
    assert browser.problems == []
    assert browser.requests == []


def test_dragging_moves_the_tile_and_changes_the_logits_as_in_pytorch(page, made):
    _, data, networks = made
    scene = data.test[_chosen(data.test)[0]]
    before = state(page)
    x, y, side = page.evaluate("(b => [b.x, b.y, b.width])(document.querySelector('canvas.scene').getBoundingClientRect())")
    middle = [side * (place + 14) / 40 for place in (before["col"], before["row"])]
    start = x + middle[0], y + middle[1]
    page.drag(start, (start[0] + side / 20, start[1]), (x + side / 2, y + side / 2))
    drawn(page)
    now = state(page)
    assert (now["row"], now["col"]) == (6, 6)  # the middle of the tile is in the middle of the image
    moved = scene.moved(now["row"], now["col"])
    for logits, network in zip(shown_logits(page), networks.values(), strict=True):
        np.testing.assert_allclose(logits, network.logits(moved.images)[0], atol=1e-4)
    shown = page.evaluate("[...document.querySelectorAll('.net:last-child .value')].map(e => +e.textContent)")
    np.testing.assert_allclose(shown, networks[NAMES[-1]].logits(moved.images)[0], rtol=0.01, atol=1e-3)


def test_keys_move_the_tile_and_choose_a_neuron(page):
    order = page.tab_order()
    assert not [line for line in order if line.startswith(("HIDDEN", "NO OUTLINE"))]
    page.evaluate(f"{EXPLORER}.set({{row: 5, col: 5}}); document.querySelector('canvas.scene').focus()")
    for key, shift in (("ArrowRight", False), ("ArrowDown", True), ("ArrowUp", False)):
        page.key(key, shift=shift)
    assert (state(page)["row"], state(page)["col"]) == (9, 6)
    for _ in range(5):
        page.key("ArrowDown", shift=True)
    drawn(page)
    assert state(page)["row"] == 12  # the last place
    page.evaluate("document.querySelector('canvas.layer').focus()")
    page.key("ArrowRight")  # the first key chooses the strongest
    drawn(page)
    said = page.evaluate("document.querySelector('.neuron').innerText")
    tile = page.evaluate(f"{EXPLORER}.tile.name")
    assert f"Stands for tile {tile}" in said
    assert "at row 12, column 6" in said
    assert "Fires now: activation 5. The window there is t = 0 from the tile." in said


def waited(page):
    look = "() => document.querySelector('.fires .features') ? done() : setTimeout(look, 50)"
    page.evaluate(f"new Promise(done => {{const look = {look}; look()}})")
    return page.evaluate("document.querySelector('.fires').innerText")


def test_what_neurons_fire_for(page, made):
    """One of Theorem 1 for its tile at its place; a shared one for all its tiles; a trained one as PyTorch says."""
    _, data, networks = made
    page.evaluate(f"(x => x.choose(x.cards[0].network, x.cards[0].layers[0], 200))({EXPLORER})")
    assert waited(page).startswith("Fires for 1 of 1,690 pairs of a tile and a place, of 1 of 10 tiles.")
    page.evaluate("document.querySelector('.fires').replaceChildren()")
    page.evaluate(f"(x => x.choose(x.cards[1].network, x.cards[1].layers[1], 200))({EXPLORER})")
    carried = int((networks["superposed"].directions("mixed").matrix[:, 200 // 169] > 0).sum())
    assert f"it is shared by {carried} of 10 features at row 2, column 5" in page.evaluate(
        "document.querySelector('.neuron').innerText"
    )
    assert waited(page).startswith(f"Fires for {carried} of 1,690 pairs of a tile and a place, of {carried} of 10 tiles.")
    page.evaluate("document.querySelector('.fires').replaceChildren()")
    page.evaluate(f"(x => x.choose(x.cards[2].network, x.cards[2].layers[0], 700))({EXPLORER})")
    task, background = data.task, data.test[_chosen(data.test)[0]].backgrounds
    tile, row, col = np.indices((10, 13, 13)).reshape(3, -1)
    tried = type(data.test)(task, background.expand(1690, -1, -1, -1), tile, row, col, paste=data.test.paste)
    fired = (networks[NAMES[2]].activations(tried.images, "conv")["conv"].flatten(1)[:, 700] > 0).sum()
    said = waited(page)
    assert "What it stands for is not known: the network is trained." in page.evaluate(
        "document.querySelector('.neuron').innerText"
    )
    assert abs(int(re.match(r"Fires for ([\d,]+) of 1,690", said)[1].replace(",", "")) - int(fired)) <= 1


def test_morphing_beyond_epsilon_stops_the_neuron(page):
    mark = f"(x => {{const far = x.morphed().far; return 5 / far}})({EXPLORER})"
    share = page.evaluate(mark)
    for factor, fires in ((0.98, True), (1.02, False)):
        page.evaluate(f"{EXPLORER}.set({{morph: {share * factor}}})")
        drawn(page)
        assert (max(shown_logits(page)[0]) > 0) is fires
        said = page.evaluate("document.querySelector('.verdict').textContent")
        assert ("no class" in said) is not fires
        assert "✓" in said  # the image then shows no class


def test_attributions_and_backgrounds_are_chosen(page):
    assert page.evaluate("document.querySelector('.net figcaption').textContent").startswith("gradient of logit ")
    page.evaluate(f"{EXPLORER}.set({{method: 'integrated gradients', background: 'black'}})")
    page.evaluate("new Promise(done => setTimeout(done, 900))")
    assert page.evaluate("document.querySelector('.net:last-child figcaption').textContent").startswith(
        "integrated gradients of logit"
    )
    page.evaluate(f"{EXPLORER}.set({{method: ''}})")
    drawn(page)
    assert page.evaluate("document.querySelector('.net figure').hidden")
    assert torch.tensor(page.evaluate(f"Array.from({EXPLORER}.image.slice(0, 40))")).max() == 0
    page.click(".bar button")
    drawn(page)
    assert state(page)["background"] == "noise"


def test_another_data_set_is_chosen(page):
    page.evaluate("(s => {s.value = 1; s.dispatchEvent(new Event('change'))})(document.querySelector('.tmi-explorer select'))")
    drawn(page)
    assert page.evaluate(f"{EXPLORER}.world.name") == "squares(samples=5)"
    assert page.problems == []


def test_a_frame_takes_less_than_a_thirtieth_of_a_second(page):
    times = page.evaluate(
        f"""(async x => {{
            const times = [];
            for (let i = 0; i < 40; i++) {{
                x.moveTo(i % 13, (7 * i) % 13);
                await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
                times.push(x.frameTime);
            }}
            return times;
        }})({EXPLORER})"""
    )
    assert np.median(times) < 1000 / 30
