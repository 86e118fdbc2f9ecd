"""Drawn pictures of classes that differ in shape and texture, not in colour.

Every picture is a pure function of the seed and its name. Lengths are in shorter sides of the
picture and the origin is its centre, so that a picture's central square, all that the network will
see of it, shows the same content at 60 pixels as at 900.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from alexnet.core.draws import generator

Split = Literal["train", "val"]
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating[Any]]
Points = npt.NDArray[np.float64]
Distance = Callable[[Floats, Floats, np.random.Generator], Floats]
Outlines = Callable[[np.random.Generator], list[Points]]

# Bounds of both sides of a picture, in pixels.
SHORTEST, LONGEST = 60, 900
# Cells along each side of the tables of random values, which repeat over the plane.
TABLE_SIDE = 64
# Binary places of a polygon's corners, in pixels.
SUBPIXEL_BITS = 6
# Standard deviation, in pixels, below which a blur is not worth its time.
NO_BLUR = 0.4


@dataclass(frozen=True)
class Canvas:
    """The pixels of one picture."""

    height: int
    width: int

    @property
    def side(self) -> int:
        """The shorter side in pixels."""
        return min(self.height, self.width)

    def grid(self) -> tuple[Floats, Floats]:
        """Return x, shape (1, width), and y, shape (height, 1), of the pixels' centres."""
        x = (np.arange(self.width, dtype=np.float32) - (self.width - 1) / 2) / self.side
        y = (np.arange(self.height, dtype=np.float32) - (self.height - 1) / 2) / self.side
        return x[None, :], y[:, None]

    @property
    def reach(self) -> Points:
        """The x and y of the lower right corner."""
        return np.array([self.width, self.height]) / self.side / 2

    def filled(self, figures: Iterable[list[Points]]) -> Floats:
        """Return how far polygons cover each pixel, from 0 to 1, shape (height, width).

        What lies inside an even number of the polygons of one figure is left out.
        """
        mask = np.zeros((self.height, self.width), np.uint8)
        for polygons in figures:
            places = [self.side * (points + self.reach) - 0.5 for points in polygons]
            corners = [np.rint(2**SUBPIXEL_BITS * place).astype(np.int32) for place in places]
            cv2.fillPoly(mask, corners, (255,), lineType=cv2.LINE_AA, shift=SUBPIXEL_BITS)
        return mask.astype(np.float32) / 255


@dataclass(frozen=True)
class Texture:
    """A pattern that fills the plane.

    Attributes:
        distance: maps x, y and a generator to the signed distance from the foreground's edge, positive in it.
        tilt: the largest rotation to either side, in degrees.
        drift: the largest shift along each axis; small for patterns with a centre.
    """

    distance: Distance
    tilt: float = 180.0
    drift: float = 0.5

    def coverage(self, canvas: Canvas, draw: np.random.Generator) -> Floats:
        """Return how far the foreground covers each pixel, from 0 to 1, shape (height, width)."""
        x, y = canvas.grid()
        angle = math.radians(draw.uniform(-self.tilt, self.tilt))
        shift_x, shift_y = draw.uniform(-self.drift, self.drift, 2).tolist()
        stretch = math.exp(draw.uniform(-0.12, 0.12))
        cos, sin = math.cos(angle), math.sin(angle)
        u = (cos * x + sin * y - shift_x) * stretch
        v = (cos * y - sin * x - shift_y) / stretch
        # A slight wave bends what would otherwise be ruler-straight.
        bend = draw.uniform(0, 0.02)
        phase_u, phase_v = draw.uniform(0, 2 * math.pi, 2).tolist()
        bent_u, bent_v = u + bend * np.sin(5 * v + phase_u), v + bend * np.sin(5 * u + phase_v)
        return np.clip(0.5 + canvas.side * self.distance(bent_u, bent_v, draw), 0, 1)


@dataclass(frozen=True)
class Figure:
    """One large figure and a few small ones of the same kind.

    Attributes:
        outlines: maps a generator to polygons (see `Canvas.filled`) that reach about one unit from (0, 0).
        tilt: the largest rotation to either side, in degrees.
    """

    outlines: Outlines
    tilt: float = 180.0

    def coverage(self, canvas: Canvas, draw: np.random.Generator) -> Floats:
        """Return how far the foreground covers each pixel, from 0 to 1, shape (height, width)."""
        outlines, figures = self.outlines(draw), []
        for centre, radius in _places(canvas, draw):
            turn = _rotation(math.radians(draw.uniform(-self.tilt, self.tilt)))
            figures.append([centre + radius * outline @ turn for outline in outlines])
        return canvas.filled(figures)


def _places(canvas: Canvas, draw: np.random.Generator) -> list[tuple[Points, float]]:
    """Return centres and radii: a large place in the central square, small ones off the others."""
    radius = draw.uniform(0.45, 0.75) / 2
    places = [(draw.uniform(radius - 0.5, 0.5 - radius, 2), radius)]
    for _ in range(draw.integers(0, 10)):
        centre = draw.uniform(-canvas.reach, canvas.reach)
        radius = draw.uniform(0.06, 0.13)
        if all(math.dist(centre, other) > 1.1 * (radius + taken) for other, taken in places):
            places.append((centre, radius))
    return places


def _rotation(angle: float) -> Points:
    """Return the matrix that turns row vectors by `angle`, in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


# Textures: signed distances from the edges, in shorter sides.


def _bands(position: Floats, period: float, share: float) -> Floats:
    """Return the signed distance to bands that fill `share` of each `period`."""
    turns = position / period
    return period * (share / 2 - abs(turns - turns.round()))


def _stripes(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    return _bands(x, draw.uniform(1 / 11, 1 / 5), draw.uniform(0.4, 0.6))


def _checkerboard(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    period = 2 * draw.uniform(1 / 9, 1 / 5)
    across, along = _bands(x, period, 0.5), _bands(y, period, 0.5)
    nearest: Floats = np.minimum(abs(across), abs(along))
    return np.where(across * along > 0, nearest, -nearest)


def _dots(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    period = draw.uniform(1 / 9, 1 / 4)
    radius = period * draw.uniform(0.26, 0.36)
    row = np.rint(y / period)
    column = x / period + (0.5 if draw.uniform() < 0.5 else 0) * np.mod(row, 2)
    return radius - period * np.hypot(column - np.rint(column), y / period - row)


def _rings(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    period = draw.uniform(1 / 11, 1 / 6)
    return _bands(np.hypot(x, y) + draw.uniform(0, period), period, draw.uniform(0.4, 0.6))


def _bricks(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    height = draw.uniform(1 / 11, 1 / 6)
    length = height * draw.uniform(2, 2.6)
    row = np.rint(y / height)
    column = x / length + 0.5 * np.mod(row, 2)
    from_ends = length * (0.5 - np.abs(column - np.rint(column)))
    from_sides = height * (0.5 - np.abs(y / height - row))
    return np.minimum(from_ends, from_sides) - height * draw.uniform(0.06, 0.11)


def _zigzag(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    slope = draw.uniform(0.8, 1.3)
    length = draw.uniform(1 / 5, 1 / 3)
    turns = x / length
    folded = y + slope * length * np.abs(turns - np.rint(turns))
    period = draw.uniform(1 / 7, 1 / 5)
    return _bands(folded, period, draw.uniform(0.4, 0.6)) / math.hypot(1, slope)


def _cells(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    size = draw.uniform(1 / 7, 1 / 4)
    jitter = draw.uniform(-0.4, 0.4, (2, TABLE_SIDE, TABLE_SIDE)).astype(np.float32)
    offset = jitter[0] + 1j * jitter[1]
    here = (x + 1j * y) / size
    column, row = np.floor(here.real).astype(np.intp), np.floor(here.imag).astype(np.intp)
    within = here - (column + 0.5 + 1j * (row + 0.5)).astype(np.complex64)
    nearest = np.full(here.shape, np.inf, np.float32)
    second = nearest.copy()
    for right, down in itertools.product((-1, 0, 1), repeat=2):
        point = offset[(row + down) % TABLE_SIDE, (column + right) % TABLE_SIDE] + (right + 1j * down)
        distance = np.abs(within - point)
        second = np.minimum(second, np.maximum(nearest, distance))
        nearest = np.minimum(nearest, distance)
    return size * ((second - nearest) / 2 - draw.uniform(0.05, 0.09))


def _rays(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    sector = 2 * math.pi / int(draw.integers(7, 15))
    return np.hypot(x, y) * _bands(np.arctan2(y, x), sector, draw.uniform(0.4, 0.6))


def _spiral(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    arms = int(draw.choice([-3, -2, 2, 3]))
    period = draw.uniform(1 / 9, 1 / 6)
    unrolled = np.hypot(x, y) + period * arms * np.arctan2(y, x) / (2 * math.pi)
    return _bands(unrolled, period, draw.uniform(0.4, 0.6))


def _honeycomb(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    size = draw.uniform(1 / 8, 1 / 5)
    height = size * math.sqrt(3)

    def from_centre(x: Floats, y: Floats) -> Floats:
        across = np.abs(x - size * np.rint(x / size))
        along = np.abs(y - height * np.rint(y / height))
        return np.maximum(across, across / 2 + along * math.sqrt(3) / 2)

    nearest = np.minimum(from_centre(x, y), from_centre(x + size / 2, y + height / 2))
    return size * draw.uniform(0.38, 0.43) - nearest


def _lattice(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    period, share = draw.uniform(1 / 8, 1 / 5), draw.uniform(0.15, 0.25)
    return np.maximum(_bands(x, period, share), _bands(y, period, share))


def _maze(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    # The binary tree rule: each cell has a wall either above or to its left.
    size = draw.uniform(1 / 10, 1 / 7)
    above = draw.integers(0, 2, (TABLE_SIDE, TABLE_SIDE)).astype(bool)
    u, v = x / size, y / size
    left, column = np.rint(u), np.floor(u).astype(np.intp) % TABLE_SIDE
    top, row = np.rint(v), np.floor(v).astype(np.intp) % TABLE_SIDE
    has_left = ~above[row, left.astype(np.intp) % TABLE_SIDE]
    has_top = above[top.astype(np.intp) % TABLE_SIDE, column]
    from_left = np.where(has_left, np.abs(u - left), 1)
    from_top = np.where(has_top, np.abs(v - top), 1)
    return size * (draw.uniform(0.14, 0.2) - np.minimum(from_left, from_top))


def _scales(x: Floats, y: Floats, draw: np.random.Generator) -> Floats:
    radius = draw.uniform(1 / 14, 1 / 8)
    line = radius * draw.uniform(0.14, 0.2)
    row = np.floor(y / radius)
    inside = np.full(np.broadcast_shapes(x.shape, y.shape), -np.inf, np.float32)
    # A scale hides those of the next row, so the uppermost row that reaches a point counts.
    for centre in (row, row + 1):
        column = x / (2 * radius) + 0.5 * np.mod(centre, 2)
        across = 2 * radius * (column - np.rint(column))
        distance = radius - np.hypot(across, y - centre * radius)
        inside = np.where(inside > 0, inside, distance)
    return inside - line


# Figures: outlines that reach about one unit from the origin.


def _polar(radii: Points, angles: Points) -> Points:
    """Return the points at `radii` and `angles`, in radians clockwise from upwards."""
    return np.stack([radii * np.sin(angles), -radii * np.cos(angles)], axis=1)


def _star(draw: np.random.Generator) -> list[Points]:
    points = int(draw.integers(5, 8))
    radii = np.where(np.arange(2 * points) % 2 == 0, 1.0, draw.uniform(0.36, 0.48))
    return [_polar(radii, np.arange(2 * points) * math.pi / points)]


def _heart(draw: np.random.Generator) -> list[Points]:
    t = np.linspace(0, 2 * math.pi, 90, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [np.stack([x * draw.uniform(0.9, 1.1), -y - 2.5], axis=1) / 17]


def _triangle(draw: np.random.Generator) -> list[Points]:
    angles = np.array([0, 2, 4]) * math.pi / 3 + draw.uniform(-0.15, 0.15, 3)
    return [_polar(np.ones(3), angles)]


def _cross(draw: np.random.Generator) -> list[Points]:
    arm = draw.uniform(0.22, 0.36)
    quarter = np.array([[arm, -1], [arm, -arm], [1, -arm]]) * 0.95
    turn = np.array([[0, 1], [-1, 0]])
    return [np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])]


def _crescent(draw: np.random.Generator) -> list[Points]:
    half, inner_top = draw.uniform(0.68, 0.82) * math.pi, draw.uniform(0.25, 0.5)
    outer = _polar(np.ones(60), np.linspace(-half, half, 60))
    # The inner circle, centred below the outer one, goes through both tips and `inner_top`.
    tip_x, tip_y = outer[-1]
    centre = (1 - inner_top**2) / (2 * (inner_top + tip_y))
    opening = math.atan2(tip_x, centre - tip_y)
    inner = _polar(np.full(60, centre + inner_top), np.linspace(opening, -opening, 60))
    return [np.concatenate([outer, inner + np.array([0, centre])])]


def _arrow(draw: np.random.Generator) -> list[Points]:
    neck, shaft, wing = draw.uniform(-0.25, 0.1), draw.uniform(0.15, 0.25), draw.uniform(0.55, 0.75)
    right = np.array([[0, -1], [wing, neck], [shaft, neck], [shaft, 1]])
    return [np.concatenate([right, right[:0:-1] * [-1, 1]])]


def _leaf(draw: np.random.Generator) -> list[Points]:
    along = np.linspace(0, 1, 40)
    width = draw.uniform(0.36, 0.48) * np.sin(math.pi * along**0.85)
    blade = np.stack([width, 1.75 * along - 1], axis=1)
    right = np.concatenate([blade[:-1], [[0.04, 0.74], [0.05, 1]]])
    midrib = np.array([[0, -0.75], [0.04, 0.6], [-0.04, 0.6]])
    # Veins stop short of the midrib, as where two polygons overlap neither would count.
    vein = np.array([[0.07, 0], [0.07, 0.11], [0.32, -0.24]]) * [width.max() / 0.48, 1]
    veins = [vein * [side, 1] + [0, y] for side in (-1, 1) for y in (-0.35, -0.05, 0.25)]
    return [np.concatenate([right, right[::-1] * [-1, 1]]), midrib, *veins]


@dataclass(frozen=True)
class PictureClass:
    """A class: its WNID, in a range that WordNet does not use, its name and looks, and what draws it."""

    wnid: str
    words: str
    gloss: str
    form: Texture | Figure


CLASSES = (
    PictureClass("n99307121", "stripes, parallel bands", "straight bands side by side", Texture(_stripes)),
    PictureClass(
        "n99104583",
        "checkerboard, chequers",
        "squares that take turns in two colours",
        Texture(_checkerboard),
    ),
    PictureClass("n99412006", "polka dots", "rows of equal discs", Texture(_dots)),
    PictureClass(
        "n99251790", "concentric rings, target", "rings around one centre", Texture(_rings, drift=0.15)
    ),
    PictureClass(
        "n99018834", "bricks, masonry", "courses of bricks, each shifted by half", Texture(_bricks, tilt=20)
    ),
    PictureClass("n99386412", "zigzag, chevrons", "bands folded to and fro", Texture(_zigzag, tilt=60)),
    PictureClass("n99160957", "cells, cracked ground", "irregular cells with walls", Texture(_cells)),
    PictureClass("n99473265", "rays, sunburst", "wedges that meet in one point", Texture(_rays, drift=0.15)),
    PictureClass("n99229348", "star", "a figure with five to seven points", Figure(_star)),
    PictureClass("n99055670", "heart", "a figure with two lobes and a point below", Figure(_heart, tilt=30)),
    PictureClass("n99341599", "spiral, whorl", "bands that wind outwards", Texture(_spiral, drift=0.12)),
    PictureClass("n99127046", "honeycomb", "hexagons side by side", Texture(_honeycomb)),
    PictureClass("n99498713", "lattice, grid", "thin crossing lines", Texture(_lattice)),
    PictureClass("n99276402", "maze, labyrinth", "walls with openings at right angles", Texture(_maze)),
    PictureClass("n99032985", "fish scales", "rows of overlapping rounds", Texture(_scales, tilt=45)),
    PictureClass("n99361158", "triangle", "a figure with three corners", Figure(_triangle)),
    PictureClass("n99189624", "cross, plus sign", "two bars that cross", Figure(_cross)),
    PictureClass("n99440891", "crescent, moon", "a disc with a disc cut out", Figure(_crescent)),
    PictureClass("n99213537", "arrow", "a shaft with a head", Figure(_arrow)),
    PictureClass("n99072309", "leaf", "a pointed blade with veins and a stem", Figure(_leaf)),
)


def draw_picture(seed: int, split: Split, class_index: int, number: int) -> Pixels:
    """Return picture `number` of class `class_index` as RGB values, shape (height, width, 3).

    Both sides are between `SHORTEST` and `LONGEST` pixels. Colours don't depend on the class.
    """
    draw = generator(seed, f"sample picture {split}", class_index, number)
    canvas = _canvas(draw)
    ground, figure = _palette(draw)
    coverage = CLASSES[class_index].form.coverage(canvas, draw)
    blur = draw.uniform(0, 0.006) * canvas.side
    if blur >= NO_BLUR:
        coverage = np.asarray(cv2.GaussianBlur(coverage, (0, 0), blur), np.float32)
    picture = _surface(ground, canvas, draw)
    _blend(picture, _surface(figure, canvas, draw), coverage)
    _clutter(picture, canvas, draw)
    shade = draw.uniform(0, 0.15)
    picture *= _spread(np.exp(shade * np.clip(_noise(3, 1, draw), -2, 2)), canvas)
    grain = draw.standard_normal(picture.shape[:2], dtype=np.float32)
    picture += draw.uniform(1, 6) * grain[:, :, None]
    return picture.round().clip(0, 255).astype(np.uint8)


def _canvas(draw: np.random.Generator) -> Canvas:
    """Draw a size: mostly about 250 pixels and near to square; few are tiny, huge or elongated."""
    fate = draw.uniform()
    if fate < 0.04:
        shorter = draw.uniform(SHORTEST, 120)
    elif fate < 0.08:
        shorter = draw.uniform(450, LONGEST)
    else:
        shorter = 250 * math.exp(0.25 * draw.standard_normal())
    limit = draw.choice([4 / 3, 2, 3], p=[0.9, 0.07, 0.03])
    longer = shorter * limit ** draw.uniform()
    height, width = (
        int(np.clip(round(length), SHORTEST, LONGEST)) for length in draw.permutation([shorter, longer])
    )
    return Canvas(height, width)


def _palette(draw: np.random.Generator) -> Floats:
    """Draw two RGB colours, shape (2, 3), from 0 to 255, at least 35 CIELAB lightnesses apart."""
    lightness = draw.uniform(15, 90, 2)
    while abs(lightness[0] - lightness[1]) < 35:
        lightness = draw.uniform(15, 90, 2)
    chroma, hue = draw.uniform(0, 60, 2), draw.uniform(0, 2 * math.pi, 2)
    lab = np.stack([lightness, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    rgb = cv2.cvtColor(lab[None].astype(np.float32), cv2.COLOR_Lab2RGB)[0]
    return 255 * np.asarray(rgb, np.float32)


def _surface(colour: Floats, canvas: Canvas, draw: np.random.Generator) -> Floats:
    """Return a plane of nearly `colour`, shape (height, width, 3), graded and a little mottled."""
    gradient = colour + draw.uniform(0, 14) * _noise(2, 3, draw)
    mottle = draw.uniform(0, 8) * _noise(int(draw.integers(8, 24)), 1, draw)
    return _spread(gradient, canvas) + _spread(mottle, canvas)


def _noise(nodes: int, channels: int, draw: np.random.Generator) -> Floats:
    return draw.standard_normal((nodes, nodes, channels), dtype=np.float32)


def _spread(values: Floats, canvas: Canvas) -> Floats:
    """Return a smooth field, shape (height, width, channels), through `values`."""
    field = cv2.resize(values, (canvas.width, canvas.height), interpolation=cv2.INTER_CUBIC)
    return field.reshape(canvas.height, canvas.width, -1)


def _blend(picture: Floats, over: Floats, coverage: Floats) -> None:
    """Lay `over` upon `picture` in place, as far as it covers."""
    picture += coverage[:, :, None] * (over - picture)


def _clutter(picture: Floats, canvas: Canvas, draw: np.random.Generator) -> None:
    """Lay a few half-transparent strokes and specks upon the picture in place."""
    disc = _polar(np.ones(24), np.arange(24) * math.pi / 12)
    for _ in range(draw.integers(0, 4)):
        axes = [draw.uniform(0.04, 0.3), draw.uniform(0.01, 0.03)]
        outline = (disc * axes) @ _rotation(draw.uniform(0, math.pi))
        coverage = canvas.filled([[outline + draw.uniform(-canvas.reach, canvas.reach)]])
        colour = draw.uniform(0, 255, 3).astype(np.float32)
        _blend(picture, colour, draw.uniform(0.3, 0.7) * coverage)
