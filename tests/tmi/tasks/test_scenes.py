from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tmi
from tests.tmi.cases import scenes, tasks
from tests.tmi.tasks.conftest import TILE
from tmi import FeatureTile, InputError, Scenes, TemplateTask, TileClass


def two(task, **kwargs):
    return Scenes(task, torch.full((2, 1, 4, 5), 0.125), [0, 1], [1, 3], [2, 0], **kwargs)


def test_rectangle(task):
    image = two(task).images[0, 0]
    assert image[1:3, 2:4].tolist() == [[0.25, 0.0], [0.5, 0.75]]
    assert int((image == 0.125).sum()) == 16
    assert two(task).images[1, 0, 3].tolist() == [1, 1, 1, 0.125, 0.125]


def test_support(task):
    image = two(task, paste="support").images[0, 0]
    assert image[1:3, 2:4].tolist() == [[0.25, 0.125], [0.5, 0.75]]


@given(scenes())
def test_pasted_pixels_are_those_of_the_tile(given):
    expected = given.backgrounds.numpy().copy()
    for image, tile, row, col in zip(expected, given.tile, given.row, given.col, strict=True):
        if tile >= 0:
            shown = given.task.tiles[tile]
            covered = np.ones(shown.shape, bool) if given.paste == "rectangle" else shown.support
            for channel, i, j in np.argwhere(covered):
                image[channel, row + i, col + j] = shown.values[channel, i, j]
    assert given.images.numpy().tobytes() == expected.tobytes()


def test_masks_show_the_support_whatever_the_paste(task):
    expected = torch.zeros(2, 4, 5, dtype=torch.bool)
    expected[0, 1:3, 2:4] = torch.tensor([[True, False], [True, True]])
    expected[1, 3, :3] = True
    for paste in ("rectangle", "support", "blend"):
        assert torch.equal(two(task, paste=paste).masks, expected)


def test_blend(task):
    """Each pixel of the support moves with the background by at most its share of the tolerance."""
    tile = task.tiles[0]
    share = 2 * tile.epsilon / 3 * (1 - 2**-10)
    image = two(task, paste="blend").images[0, 0]
    expected = [[0.25 - 0.375 * share, 0.125], [0.5 - 0.375 * share, 0.75 - 0.375 * share]]
    torch.testing.assert_close(image[1:3, 2:4], torch.tensor(expected).clip(0, 1))
    assert int((image == 0.125).sum()) == 17


@given(tasks(), st.integers(0, 9), st.sampled_from([torch.float32, torch.float64]))
def test_a_blended_tile_is_contained_on_every_background(task, seed, dtype):
    rng = np.random.default_rng(seed)
    tile = rng.integers(0, len(task.tiles), 6)
    place = (rng.integers(0, np.array(task.windows)[tile]).T).tolist()
    ground = torch.from_numpy(np.rint(rng.random((6, *task.image_shape))) if seed % 2 else rng.random((6, *task.image_shape)))
    shown = Scenes(task, ground.to(dtype), tile, *place, paste="blend")
    assert shown.images.dtype == dtype
    assert task.memberships(shown.images)[range(6), shown.labels].all()
    assert torch.equal(shown.moved(0, 0).moved(*place).images, shown.images)


def test_mask_of_a_colour_tile_is_every_pixel_with_a_channel_that_counts():
    values = np.zeros((3, 1, 2))
    values[1, 0, 0] = 0.5
    task = TemplateTask([TileClass("a", [FeatureTile(values, 0.1)])], (3, 2, 2))
    one = Scenes(task, torch.full((1, 3, 2, 2), 0.25), 0, 1, 0, paste="support")
    assert one.masks.tolist() == [[[False, False], [True, False]]]
    assert one.images[0, :, 1, 0].tolist() == [0.25, 0.5, 0.25]


def test_labels_and_dtypes(task):
    s = two(task)
    assert s.labels.tolist() == [0, 1]
    assert s.labels.dtype == s.tile.dtype == s.row.dtype == s.col.dtype == torch.int64
    assert s.images.dtype == torch.float32
    assert Scenes(task, np.zeros((1, 1, 4, 5)), 0, 0, 0).images.dtype == torch.float64
    assert s.masks.dtype == torch.bool
    assert s.unambiguous().tolist() == [True, True]


@given(scenes(), st.data())
def test_a_slice_is_a_view_and_the_same_as_a_list_of_numbers(given, data):
    start, stop = (data.draw(st.one_of(st.none(), st.integers(-9, 9))) for _ in range(2))
    index = slice(start, stop, data.draw(st.sampled_from([None, 1, 2, 3, -1, -2])))
    if data.draw(st.booleans()):
        assert len(given.images) == len(given.masks) == len(given.labels)  # rendered before: the slice shares them
    part, copied = given[index], given[np.arange(len(given))[index]]
    for name in ("backgrounds", "tile", "row", "col", "images", "masks", "labels"):
        assert torch.equal(getattr(part, name), getattr(copied, name))
    assert part.paste == given.paste
    if len(part) and (index.step or 1) > 0:
        first = range(len(given))[index][0]
        assert part.backgrounds.data_ptr() == given.backgrounds[first].data_ptr()
        if "images" in vars(given):
            assert part.images.data_ptr() == given.images[first].data_ptr()


def test_unambiguous_sees_what_a_background_adds(task):
    backgrounds = torch.full((4, 1, 4, 5), 0.125)
    backgrounds[1:, 0, 3, 2:] = 1  # shows tile b
    backgrounds[2:, 0, :2, :2] = torch.tensor(TILE.values)[0].float()  # and tile a
    s = Scenes(task, backgrounds, [-1, -1, -1, 0], 0, 0)
    assert s.labels.tolist() == [-1, -1, -1, 0]
    assert s.unambiguous().tolist() == [True, False, False, False]


def test_choosing(task):
    s = Scenes(task, torch.rand(5, 1, 4, 5), [0, 1, 0, 1, -1], 0, [0, 1, 2, 0, 0])

    def chosen(index):
        picked = s[index]
        assert torch.equal(picked.images, s.images[[int(i) for i in np.atleast_1d(np.arange(5)[index])]])
        return picked.col.tolist(), picked.tile.tolist()

    assert chosen(1) == ([1], [1])
    assert chosen(-1) == ([0], [-1])
    assert chosen(np.int64(2)) == ([2], [0])
    assert chosen(slice(1, 3)) == ([1, 2], [1, 0])
    assert chosen(slice(None, None, -1)) == ([0, 0, 2, 1, 0], [-1, 1, 0, 1, 0])
    assert chosen([3, 0, 3]) == ([0, 0, 0], [1, 0, 1])
    assert chosen(np.array([True, False, False, False, True])) == ([0, 0], [0, -1])
    assert s[torch.tensor([2, 1])].col.tolist() == [2, 1]
    assert s[torch.tensor(3)].tile.tolist() == [1]
    assert s[s.labels == 1].tile.tolist() == [1, 1]
    assert s[[False, True, True, False, False]].col.tolist() == [1, 2]
    for nothing in ([], slice(0, 0), np.zeros(5, bool), torch.zeros(0, dtype=torch.long)):
        assert len(s[nothing]) == 0
    for wrong in (5, -6, [0, 5], np.zeros(4, bool), 0.5, [0.5], True, "a"):
        with pytest.raises(IndexError):
            s[wrong]
    assert [len(one) for one in s] == [1] * 5


def test_given_places_are_copied(task):
    tile, row = np.array([0, 1]), torch.tensor([1, 3])
    s = Scenes(task, torch.zeros(2, 1, 4, 5), tile, row, 0)
    tile[:], row[:] = 1, 0
    assert s.tile.tolist() == [0, 1]
    assert s.row.tolist() == [1, 3]


def test_rendering_leaves_the_backgrounds_alone(task):
    s = two(task)
    s.images, s.masks  # noqa: B018
    assert (s.backgrounds == 0.125).all()
    shared = s.with_backgrounds(torch.zeros(1, 4, 5))
    assert shared.images[0].sum() == TILE.values.sum()
    assert (shared.backgrounds == 0).all()


@given(scenes(), st.integers(0, 2**32 - 1))
def test_moved_back_and_forth_is_the_identity(s, seed):
    rng = np.random.default_rng(seed)
    rows, cols = s.task.windows[0]
    there = s.moved(rng.integers(0, rows, len(s)), rng.integers(0, cols, len(s)))
    back = there.moved(s.row, s.col)
    for name in ("images", "masks", "labels", "backgrounds"):
        assert torch.equal(getattr(back, name), getattr(s, name))
    assert torch.equal(there.labels, s.labels)
    assert torch.equal(there.backgrounds, s.backgrounds)
    assert there.paste == s.paste


@given(scenes())
def test_own_backgrounds_change_nothing(s):
    same = s.with_backgrounds(s.backgrounds)
    for name in ("images", "masks", "labels", "tile", "row", "col"):
        assert torch.equal(getattr(same, name), getattr(s, name))
    assert same.paste == s.paste


@given(scenes(), st.floats(0, 1, width=32))
def test_counterfactuals_are_exact(s, grey):
    covered = torch.zeros_like(s.masks)
    for i, tile in enumerate(s.tile.tolist()):
        if tile >= 0:
            _, k, l = s.task.tiles[tile].shape  # noqa: E741
            covered[i, s.row[i] : s.row[i] + k, s.col[i] : s.col[i] + l] = True
    outside = ~covered[:, None].expand_as(s.images)  # every tile here has full support
    assert torch.equal(s.masks, covered)
    assert torch.equal(s.images[outside], s.backgrounds[outside])
    on_grey = s.with_backgrounds(grey)
    assert on_grey.images.dtype == s.images.dtype
    assert torch.equal(on_grey.images[~outside], s.images[~outside])
    assert (on_grey.images[outside] == grey).all()
    bare = s.without_tiles()
    assert torch.equal(bare.images, s.backgrounds)
    assert (bare.labels == -1).all()
    assert not bare.masks.any()
    tiled = s[s.tile >= 0]
    for label, members in zip(tiled.labels.tolist(), s.task.memberships(tiled.images), strict=True):
        assert members[label]


def test_with_backgrounds_shapes(task):
    s = two(task)
    for given_ in (
        0.5,
        1,
        np.float32(0.5),
        torch.rand(1, 4, 5),
        np.random.default_rng(0).random((2, 1, 4, 5)),
        torch.rand(1, 1, 4, 5),
    ):
        assert s.with_backgrounds(given_).images.shape == (2, 1, 4, 5)
    frozen = np.zeros((1, 4, 5), np.float32)
    frozen.setflags(write=False)
    assert torch.equal(s.with_backgrounds(frozen).backgrounds, torch.zeros(2, 1, 4, 5))
    for bad in (1.5, float("nan"), -0.1, torch.rand(3, 1, 4, 5), torch.rand(1, 5, 5), torch.full((1, 4, 5), 2.0), "grey", None):
        with pytest.raises(InputError, match="backgrounds"):
            s.with_backgrounds(bad)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tile": [2, 0]}, "tile: 2 is not one of the task's 2 tiles"),
        ({"tile": -2}, "tile: -2 is not one"),
        ({"tile": 0.0}, "tile: expected whole numbers"),
        ({"tile": [True, False]}, "tile: expected whole numbers"),
        ({"tile": [0, 0, 0]}, "tile: expected one whole number, or 2 of them"),
        ({"tile": [[0], [0, 1]]}, "tile: expected one whole number, or 2 of them"),
        ({"row": [0, 3]}, r"scene 1: tile a/0 at \(3, 0\) leaves the image; rows go to 2, columns to 3"),
        ({"col": [-1, 0]}, r"scene 0: tile a/0 at \(0, -1\) leaves the image"),
        ({"tile": 1, "col": 3}, "scene 0: tile b/0 .* columns to 2"),
        ({"tile": -1, "row": -1}, r"scene 0: place \(-1, 0\) is not in the image"),
        ({"row": "a"}, "row: expected whole numbers"),
        ({"backgrounds": torch.zeros(2, 1, 4, 4)}, r"backgrounds: expected \(C, m, n\)"),
        ({"backgrounds": torch.full((2, 1, 4, 5), 1.5)}, "backgrounds: 40 values"),
        ({"paste": "round"}, 'paste: expected "rectangle", "support" or "blend"'),
    ],
)
def test_refuses(task, arguments, message):
    given_ = {"backgrounds": torch.zeros(2, 1, 4, 5), "tile": 0, "row": 0, "col": 0} | arguments
    with pytest.raises(InputError, match=message):
        Scenes(task, **given_)


def test_counterfactuals_refuse_too(task):
    with pytest.raises(InputError, match="leaves the image"):
        two(task).moved(3, 3)
    with pytest.raises(InputError, match="2 of them"):
        two(task).moved([0, 0, 0], 0)


def test_no_scenes(task):
    none = two(task)[[]]
    assert none.images.shape == (0, 1, 4, 5)
    assert none.masks.shape == (0, 4, 5)
    assert none.labels.shape == none.unambiguous().shape == (0,)
    assert len(none.with_backgrounds(0.5)) == len(none.moved(0, 0)) == len(none.without_tiles()) == len(none.repeated(3)) == 0


def test_repeated(task):
    assert two(task).repeated(3).tile.tolist() == [0, 0, 0, 1, 1, 1]


class TestDraw:
    def test_labels_are_exact_and_deterministic(self, squares):
        one, same, other = (Scenes.draw(squares, 300, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert torch.equal(squares.labels(one.images), one.labels)
        assert one.unambiguous().all()
        assert torch.equal(one.images, same.images)
        assert not torch.equal(one.images, other.images)
        assert set(one.labels.tolist()) == {0, 1}
        assert {(r, c) for r, c in zip(one.row.tolist(), one.col.tolist(), strict=True)} == {
            (r, c) for r in range(3) for c in range(3)
        }

    @given(tasks(), st.sampled_from(["rectangle", "support", "blend"]), st.integers(0, 9))
    def test_any_task(self, task, paste, seed):
        try:
            drawn = Scenes.draw(task, 5, rng=np.random.default_rng(seed), paste=paste)
        except InputError as error:
            assert "use a smaller epsilon" in str(error)  # noqa: PT017
            return
        assert torch.equal(task.labels(drawn.images), drawn.labels)
        assert drawn.paste == paste
        assert drawn.images.dtype == torch.float32

    def test_ambiguous_images_are_drawn_again(self):
        # Every second background shows the other class, so about half of all draws are refused.
        task = TemplateTask([TileClass(c, [FeatureTile([[v]], 0.1, [[True]])]) for c, v in (("a", 1.0), ("b", 0.5))], (1, 1, 2))
        drawn = Scenes.draw(
            task,
            200,
            rng=np.random.default_rng(0),
            background=lambda rng, task: rng.choice([0.5, 0.0], task.image_shape),
        )
        assert torch.equal(task.labels(drawn.images), drawn.labels)
        assert set(drawn.labels.tolist()) == {0, 1}

    def test_too_large_an_epsilon_says_so(self, squares):
        with pytest.raises(
            InputError, match=r"3 of 3 images still show no class or several after \d+ draws; use a smaller epsilon"
        ):
            Scenes.draw(
                TemplateTask([TileClass(c, [FeatureTile([[v]], 0.4, [[True]])]) for c, v in (("a", 1.0), ("b", 0.5))], (1, 1, 9)),
                3,
                rng=np.random.default_rng(0),
                background=lambda rng, task: np.broadcast_to(np.float32([0.5, 1, 0.5, 1, 0.5, 1, 0.5, 1, 0.5]), task.image_shape),
            )

    def test_bad_background(self, squares):
        with pytest.raises(InputError, match="background <lambda>: 32 values are NaN or outside"):
            Scenes.draw(squares, 2, rng=np.random.default_rng(0), background=lambda rng, task: np.full(task.image_shape, 1.5))

    def test_none(self, squares):
        assert len(Scenes.draw(squares, 0, rng=np.random.default_rng(0))) == 0
        assert len(Scenes.draw(squares, 0, rng=np.random.default_rng(0), background=lambda rng, task: None).images) == 0

    def test_pixels_are_those_of_the_generator_itself(self, squares):
        drawn = Scenes.draw(squares, 50, rng=np.random.default_rng(3))
        rng = np.random.default_rng(3)
        for bound in (2, 1, 3, 3):  # class, tile of the class, row, column
            rng.integers(0, np.full(50, bound))
        first = rng.random((50, 1, 4, 4), dtype=np.float32)
        same = (drawn.backgrounds.numpy() == first).all((1, 2, 3))
        assert 25 < same.sum() < 50  # the others were drawn again


def redrawn(task):
    return Scenes.draw(task, 40, rng=np.random.default_rng(0))


class TestRecipes:
    def test_any_part_is_rendered_alone(self, squares):
        whole = redrawn(squares).images
        for index in (slice(5, 20), slice(None, None, -3), [7, 7, 2], 3, np.arange(40) % 2 == 0, []):
            lazily = redrawn(squares)[index]
            assert "images" not in vars(lazily)
            assert torch.equal(lazily.images, whole[np.arange(40)[index].reshape(-1).copy()])
            assert "backgrounds" not in vars(lazily)  # rendered once, not kept twice

    def test_counterfactuals_need_no_pixels(self, squares):
        given = redrawn(squares)
        changed = [given.moved(0, 0), given.without_tiles(), given.repeated(2)[::2], given.with_tiles(1, 2, 0), given[3:]]
        assert not any({"images", "backgrounds"} & vars(one).keys() for one in (given, *changed))
        assert given.dtype == torch.float32
        assert torch.equal(changed[1].images, given.backgrounds)
        assert changed[3].labels.tolist() == [1] * 40
        for one in (changed[0], changed[3]):
            assert torch.equal(one.backgrounds, given.backgrounds)
        assert given.moved(1, 1).backgrounds is given.backgrounds  # what is rendered is shared

    def test_of_another_shape(self, squares, task):
        with pytest.raises(InputError, match=r"backgrounds: expected \(C, m, n\) = \(1, 4, 5\), got \(1, 4, 4\)"):
            Scenes(task, redrawn(squares).recipes, 0, 0, 0)


def test_repr(task):
    assert "2 of TemplateTask" in repr(two(task))
    assert tmi.Scenes is Scenes
