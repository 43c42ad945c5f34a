"""SVG: scenes of rows of one feature as lines of numbers, of two as a plane. Colours are those of the theme."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape

from docs.generate.drawing.scene import At, Drawing, Line, Point, Scene, number

WIDTH, EDGE, STRIP, MOST = 360, 22, 98, 5
LETTER = 5.8  # width of a letter, about
SHAPES = (
    '<circle cx="{x}" cy="{y}" r="4.5"/>',
    '<rect x="{l}" y="{t}" width="8" height="8"/>',
    '<path d="M{x} {t}l5 9h-10z"/>',
    '<path d="M{x} {t}l5 5-5 5-5-5z"/>',
)


def shape(point: Point, x: float, y: float) -> str:
    """Return the mark of a point."""
    tone = point.tone % len(SHAPES)
    places = {"x": round(x), "y": round(y), "l": round(x) - 4, "t": round(y) - 5 + (tone == 1)}
    return f'<g class="t{tone}{" faint" * point.faint}{" hollow" * point.hollow}">{SHAPES[tone].format(**places)}</g>'


def text(x: float, y: float, words: str, css: str = "", middle: bool = True) -> str:
    """Return words at a place; those that begin there are narrowed where the picture has less room than they need."""
    classes = " ".join(name for name in (css, "m" if middle else "") if name)
    of = f' class="{classes}"' if classes else ""
    room = WIDTH - EDGE / 2 - x
    if not middle and len(words) * LETTER > room:
        of += f' textLength="{room:.0f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.0f}" y="{y:.0f}"{of}>{escape(words)}</text>'


def svg(height: float, body: str, label: str) -> str:
    """Return a picture that is as wide as there is room."""
    return f'<svg class="drawn" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">{body}</svg>'


def line_of_numbers(scene: Scene, top: float, place: Callable[[float], float]) -> Iterator[str]:
    """Yield a scene of rows of one feature: the nearer pair above the line, the farther one below."""
    axis = top + 50
    if scene.reach:
        (centre,), radius = scene.reach
        left, right = max(EDGE / 2, place(centre - radius)), min(WIDTH - EDGE / 2, place(centre + radius))
        yield f'<rect class="reach" x="{left:.0f}" y="{axis - 12:.0f}" width="{right - left:.0f}" height="24"/>'
    yield f'<path class="axis" d="M{EDGE / 2:.0f} {axis:.0f}H{WIDTH - EDGE / 2:.0f}"/>'
    yield text(EDGE / 2, top + 12, scene.title, "title", middle=False) if scene.title else ""
    for line in scene.lines:
        (start,), (end,) = line.start, line.end
        y = {"near": axis - 22, "far": axis + 27}.get(line.kind)
        if y is None:
            continue
        yield f'<path class="{line.kind}" d="M{place(start):.0f} {y:.0f}H{place(end):.0f}"/>'
        yield text((place(start) + place(end)) / 2, y + (12 if line.kind == "far" else -3), line.says)
    stacks: dict[float, list[Point]] = {}
    for point in scene.points:
        stacks.setdefault(point.at[0], []).append(point)
    for at, points in stacks.items():
        for level, point in enumerate(points):
            yield shape(point, place(at) + 5 * level, axis)
        yield text(
            place(at) + 2.5 * (len(points) - 1), axis - 9, ", ".join(filter(None, (point.name for point in points)))
        )
        yield text(place(at), axis + 18, number(at), "small")


def strips(drawing: Drawing) -> str:
    """Return scenes of rows of one feature, one below another with one scale."""
    low, high = extent([point.at[0] for scene in drawing.scenes for point in scene.points])
    scale = (WIDTH - 2 * EDGE) / (high - low)
    body = "".join(
        part
        for place, scene in enumerate(drawing.scenes[:MOST])
        for part in line_of_numbers(scene, place * STRIP, lambda x: EDGE + (x - low) * scale)
    )
    return svg(STRIP * min(len(drawing.scenes), MOST), body, label(drawing))


def plane(drawing: Drawing) -> str:
    """Return scenes of rows of two features in one plane, with one scale for both axes."""
    points = list(dict.fromkeys(point for scene in drawing.scenes for point in scene.points))
    lines = list(dict.fromkeys(line for scene in drawing.scenes for line in scene.lines))
    every = [point.at for point in points] + [line.start for line in lines]
    (left, right), (low, high) = extent([at[0] for at in every]), extent([at[1] for at in every])
    scale = min((WIDTH - 4 * EDGE) / (right - left), 170 / (high - low))
    height = (high - low) * scale + 2 * EDGE
    shift = (WIDTH - (right - left) * scale) / 2

    def place(at: At) -> tuple[float, float]:
        return shift + (at[0] - left) * scale, EDGE + (high - at[1]) * scale

    body = []
    for scene in drawing.scenes if len(drawing.scenes) == 1 else ():
        if scene.reach:
            x, y = place(scene.reach[0])
            body.append(f'<circle class="reach" cx="{x:.0f}" cy="{y:.0f}" r="{scene.reach[1] * scale:.0f}"/>')
    for line in lines:
        body += segment(line, *place(line.start), *place(line.end))
    named: dict[At, list[str]] = {}
    for point in points:
        body.append(shape(point, *place(point.at)))
        named.setdefault(point.at, []).append(point.name)
    for at, names in named.items():
        x, y = place(at)
        body.append(text(x + 8, y - 6, ", ".join(dict.fromkeys(names)), middle=False))
    return svg(height, "".join(body), label(drawing))


def segment(line: Line, x: float, y: float, to_x: float, to_y: float) -> Iterator[str]:
    """Yield a line with its distance in the middle."""
    yield f'<path class="{line.kind}" d="M{x:.0f} {y:.0f}L{to_x:.0f} {to_y:.0f}"/>'
    if line.says:
        yield text((x + to_x) / 2, (y + to_y) / 2 + 12, line.says)


def extent(values: list[float]) -> tuple[float, float]:
    """Return the ends of a scale that has all values."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 1, high + 1)


def label(drawing: Drawing) -> str:
    """Return the drawing in words, for who does not see it."""
    return "; ".join(
        f"{scene.title}: " * bool(scene.title)
        + ", ".join(f"{point.name} at {', '.join(map(number, point.at))}" for point in scene.points)
        for scene in drawing.scenes[:MOST]
    )
