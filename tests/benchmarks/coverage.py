"""How often 95 % intervals hold the truth, on simulated data of the nested kind: seeds, tiles of each, images of each.

``python -m tests.benchmarks.coverage`` prints, for several spreads, numbers of seeds and shapes of the distribution over seeds,
the share of data sets whose interval holds the truth, for `tmi.statistics` and for the usual ways beside it.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import numpy as np

from tmi import statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

RESAMPLES = 400
"""Of the ways that draw units: enough for percentiles of 2.5 %."""


def nested(
    rng: np.random.Generator, size: tuple[int, int, int], spread: tuple[float, float, float], shape: str = "normal"
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Draw values whose true mean is 0, with the seed and tile of each.

    Parameters
    ----------
    rng : numpy.random.Generator
    size : (int, int, int)
        Seeds, tiles of a seed, images of a tile.
    spread : (float, float, float)
        Standard deviations between seeds, tiles and images.
    shape : {"normal", "skewed", "dead runs"}
        The distribution over seeds: normal; exponential; or one of two values, one in four seeds has the other.
    """
    seeds, tiles, _ = size
    drawn = {
        "normal": lambda: rng.normal(size=seeds),
        "skewed": lambda: rng.exponential(size=seeds) - 1,
        "dead runs": lambda: ((rng.random(seeds) < 0.25) - 0.25) / np.sqrt(0.1875),
    }[shape]()
    values = spread[0] * drawn[:, None, None] + spread[1] * rng.normal(size=(seeds, tiles, 1)) + spread[2] * rng.normal(size=size)
    seed, tile, _ = np.indices(size)
    return values.ravel(), seed.ravel(), tile.ravel()


def covered(
    spread: tuple[float, float, float], *, size: tuple[int, int, int], datasets: int, shape: str = "normal", seed: int = 0
) -> dict[str, float]:
    """Return the share of simulated data sets whose interval holds the true mean, by the way it is computed."""
    rng = np.random.default_rng(seed)
    held: dict[str, int] = {}
    for _ in range(datasets):
        values, seeds, tiles = nested(rng, size, spread, shape)
        found = statistics.estimate(values, seeds=seeds, tiles=tiles)
        ends = {"tmi.statistics": (found.low, found.high)} | _other_ways(values.reshape(size), rng)
        for way, (low, high) in ends.items():
            held[way] = held.get(way, 0) + (low <= 0 <= high)
    return {way: count / datasets for way, count in held.items()}


def _other_ways(values: Array, rng: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return percentile intervals of three other bootstraps of the mean."""
    seeds, tiles, images = values.shape
    of_tiles, of_seeds = values.mean(2), values.mean((1, 2))
    drawn = rng.integers(0, seeds, (RESAMPLES, seeds))
    # Means of images that are drawn again are nearly normal: their spread is added instead of drawing the images.
    again = rng.integers(0, tiles, (RESAMPLES, seeds, tiles))
    noise = values.std(2)[drawn[:, :, None], again] / np.sqrt(images) * rng.normal(size=again.shape)
    every_level = (of_tiles[drawn[:, :, None], again] + noise).mean((1, 2))
    one_level = values.mean() + values.std() / np.sqrt(values.size) * rng.normal(size=RESAMPLES)
    ways = {"seeds drawn": of_seeds[drawn].mean(1), "every level drawn": every_level, "images drawn": one_level}
    return {way: tuple(np.quantile(means, [0.025, 0.975])) for way, means in ways.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="200 data sets a row instead of 2,000")
    datasets = 200 if parser.parse_args().quick else 2000
    ways = ["tmi.statistics", "seeds drawn", "every level drawn", "images drawn"]
    print(f"Share of {datasets} data sets whose 95 % interval holds the truth; 10 tiles a seed, 20 images a tile")
    print(f"{'seeds':>5}  {'over seeds':<10}  {'SD: seed, tile, image':<22}" + "".join(f"{way:>19}" for way in ways))
    rows = [("normal", seeds) for seeds in (2, 3, 5, 10, 20)] + [(s, n) for s in ("skewed", "dead runs") for n in (3, 5, 10, 20)]
    for shape, seeds in rows:
        for spread in [(1.0, 1.0, 1.0), (0.0, 1.0, 1.0)] if shape == "normal" else [(1.0, 1.0, 1.0), (1.0, 0.3, 0.3)]:
            share = covered(spread, size=(seeds, 10, 20), datasets=datasets, shape=shape)
            text = ", ".join(f"{part:g}" for part in spread)
            print(f"{seeds:>5}  {shape:<10}  {text:<22}" + "".join(f"{share[way]:>19.3f}" for way in ways), flush=True)


if __name__ == "__main__":
    main()
