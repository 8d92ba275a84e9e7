"""Writes the cutouts: the animal in each of four photographs, cut out along an outline and reduced, and SHA256SUMS."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageDraw


class Cutout(NamedTuple):
    """A picture to write, the photograph that it is cut from, and the outline in the photograph's pixels, as "x,y x,y …"."""

    target: str
    photograph: str
    sha256: str
    longest_side: int
    outline: str


# README.md says where the photographs come from. The outlines were found with OpenCV's GrabCut and checked by eye.
CUTOUTS = (
    Cutout(
        "cat/chelsea.png",
        "chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        60,
        "41,0 33,36 30,108 34,114 36,134 42,153 52,169 52,178 79,213 99,214 100,231 111,233 116,247 133,246 141,255 "
        "155,255 164,259 177,270 201,299 309,299 309,271 312,268 316,242 325,235 326,212 343,185 343,165 360,149 359,71 "
        "371,58 377,28 394,10 398,0 ",
    ),
    Cutout(
        "cat/tabby.png",
        "Cat.png",
        "77b346036fa387c9e9fcb6a38b359fc8a675662f64363ebc5b4b4ab1283cec8a",
        80,
        "45,261 48,289 46,330 69,338 101,359 115,362 117,379 124,381 178,377 186,382 186,386 310,376 330,368 387,367 "
        "386,362 372,353 361,352 364,334 398,325 448,325 467,314 511,318 511,248 505,248 497,240 483,241 456,222 447,221 "
        "427,210 418,210 414,190 396,171 378,165 364,165 315,143 291,142 284,135 270,136 262,128 246,126 242,119 231,115 "
        "153,131 119,150 73,195 54,230 ",
    ),
    Cutout(
        "dog/dane.png",
        "dog-human.jpg",
        "87c5f967465bd2efba3f2f9008d280671722068f10d9b8f9776d27d952cb789d",
        56,
        "282,71 279,75 278,119 282,128 282,147 294,159 294,166 296,168 305,169 309,166 317,166 318,169 324,169 326,175 "
        "332,179 333,194 337,196 337,202 332,205 332,213 337,221 346,227 374,237 406,240 420,239 420,169 417,129 427,118 "
        "427,111 420,99 396,75 388,74 374,64 357,60 334,59 316,72 ",
    ),
    Cutout(
        "dog/retriever.png",
        "Dog.png",
        "ff0d1599c4021be70d751ed3b3d0937618be6f898b1e84849e0b14f6c33762f4",
        72,
        "165,80 157,88 155,101 144,109 136,109 130,126 120,131 96,134 89,144 71,149 62,169 53,179 55,216 59,218 60,232 "
        "79,254 83,287 75,299 74,327 65,347 65,378 55,391 48,417 55,421 51,442 117,477 128,479 144,491 155,491 157,497 "
        "168,503 182,503 184,511 391,511 383,474 381,435 388,427 385,403 395,379 384,378 382,357 409,352 445,334 445,325 "
        "452,320 452,288 457,279 454,267 436,249 423,246 392,221 389,211 379,203 383,178 389,174 386,153 359,117 339,110 "
        "304,112 253,101 244,92 234,90 229,97 207,98 202,104 194,104 172,80 ",
    ),
)


def main() -> None:
    """Read the four photographs from one folder, check them, and write the cutouts and SHA256SUMS to another folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path, help="folder with the four photographs")
    parser.add_argument("target", type=Path, help="folder to write to")
    arguments = parser.parse_args()

    sums = []
    for cutout in CUTOUTS:
        photograph = arguments.source / cutout.photograph
        digest = hashlib.sha256(photograph.read_bytes()).hexdigest()
        if digest != cutout.sha256:
            raise SystemExit(f"{photograph}: is another file (SHA-256 {digest[:12]}…, expected {cutout.sha256[:12]}…)")
        target = arguments.target / cutout.target
        target.parent.mkdir(parents=True, exist_ok=True)
        cut(photograph, cutout).save(target, optimize=True)
        sums.append(f"{hashlib.sha256(target.read_bytes()).hexdigest()}  {cutout.target}\n")
    (arguments.target / "SHA256SUMS").write_text("".join(sums))


def cut(photograph: Path, cutout: Cutout) -> Image.Image:
    """Return the part of a photograph inside the outline as RGBA, its longest side as the cutout says."""
    with Image.open(photograph) as opened:
        picture = opened.convert("RGB")
    corners = [(int(x), int(y)) for x, y in (corner.split(",") for corner in cutout.outline.split())]
    alpha = Image.new("L", picture.size)
    ImageDraw.Draw(alpha).polygon(corners, fill=255)
    picture.putalpha(alpha)
    inside = picture.crop(alpha.getbbox())
    scale = cutout.longest_side / max(inside.size)
    reduced = inside.resize((round(inside.width * scale), round(inside.height * scale)), Image.Resampling.LANCZOS)
    # The colours of transparent pixels are set to 0: they are not part of the picture, and the file is smaller.
    return Image.composite(
        reduced, Image.new("RGBA", reduced.size), reduced.getchannel("A").point(lambda value: 255 * (value > 0))
    )


if __name__ == "__main__":
    main()
