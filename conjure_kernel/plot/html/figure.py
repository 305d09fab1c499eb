"""The map of the page, plotted with Bokeh."""

from __future__ import annotations

import unicodedata
from typing import Any

import numpy as np

from conjure_kernel.plot.labels import fit_limits, place_labels, shorten, spread

__all__ = ["COLOURS", "SHAPES", "render_map"]

WIDTH, HEIGHT = 860, 600  # of the map, in CSS pixels
FONT = 11
DOT = 6.0  # width of a prompt without an image, where there are many
BADGE = 8.0  # reach of the shape at an image's corner
# The colour-blind can tell them apart; their contrast is at least 3:1 on the light and dark page.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b8609a", "#8c6d31", "#7f7f7f", "#4f8fd0")
SHAPES = ("●", "■", "▲", "▼", "◆", "★", "✚")
MARKERS = ("circle", "square", "triangle", "inverted_triangle", "diamond", "star", "cross")


def render_map(
    points: np.ndarray, names: list[str], groups: np.ndarray, shown: np.ndarray, has_images: bool
) -> tuple[str, str]:
    """Script and placeholder of the map.

    The prompts at the positions `shown` have images, if there are any, and labels where these fit;
    the others are dots.
    """
    from bokeh.embed import components

    many = len(shown) < len(names)
    size = np.array([WIDTH, HEIGHT + 200 * many], dtype=float)
    room = (0.35 if many else 0.5) * np.sqrt(size.prod() / len(shown))
    side, rim = (float(np.clip(room, 14, 46)) if has_images else 12.0), 2 if many else 6
    low, high = fit_limits(points, size, np.array([side / 2 + 40, side / 2 + 20]))
    scale = size / (high - low)
    pixels = (points[shown] - low) * scale
    frame = np.array([[0.0, 0.0], size])
    inner = frame + np.array([[BADGE], [-BADGE]])
    placed = spread(pixels, np.full(2, side + rim), inner) if has_images else pixels
    dots = (np.delete(points, shown, axis=0) - low) * scale
    places = points.copy()
    places[shown] = low + placed / scale
    markers, sizes = [MARKERS[g] for g in groups], np.full(len(names), DOT if many else side)
    if has_images:
        sizes[shown] = side + rim
        for i in shown:
            markers[i] = "square"
    spots: dict[str, Any] = {
        "x": places[:, 0],
        "y": places[:, 1],
        "colour": [COLOURS[g] for g in groups],
        "alpha": np.ones(len(names)),
        "marker": markers,
        "size": sizes,
    }
    art = {
        **{name: [column[i] for i in shown] for name, column in spots.items()},
        "x0": points[shown, 0],
        "y0": points[shown, 1],
        **_labels([names[i] for i in shown], placed, side, frame, dots),
        "shape": [SHAPES[groups[i]] for i in shown],
        "url": [""] * len(shown),
        "moved": np.where(np.abs(placed - pixels).max(1) > 0.75 * side, 0.7, 0.0),
    }
    return components(_figure(spots, art, low, high, side if has_images else None))


def _labels(
    names: list[str], centres: np.ndarray, side: float, frame: np.ndarray, dots: np.ndarray
) -> dict[str, Any]:
    """The labels that have room, and how far their middles are from their markers."""
    lines = shorten(names, 26)
    boxes = np.array([[_text_width(line), FONT + 4] for line in lines], dtype=float)
    others = np.hstack([dots - DOT / 2, dots + DOT / 2])
    placed = place_labels(boxes, centres, side / 2 + 3, frame, others)
    free = np.isfinite(placed).all(1)
    offsets = np.where(free[:, None], (placed[:, :2] + placed[:, 2:]) / 2 - centres, 0)
    label = [line if fits else "" for line, fits in zip(lines, free, strict=True)]
    return {"label": label, "dx": offsets[:, 0], "dy": -offsets[:, 1]}


def _figure(
    spots: dict[str, Any],
    pieces: dict[str, Any],
    low: np.ndarray,
    high: np.ndarray,
    side: float | None,
) -> Any:
    """The map of spots, which can be pointed at, and of images `side` pixels wide and labels."""
    from bokeh.models import ColumnDataSource, CustomJS, HoverTool, TapTool
    from bokeh.plotting import figure

    size, many = (high - low), len(pieces["x"]) < len(spots["x"])
    source = ColumnDataSource(spots, name="points")
    art = ColumnDataSource(pieces, name="art")  # a source of its own, which is never selected
    plot = figure(
        frame_width=WIDTH,
        frame_height=round(WIDTH * size[1] / size[0]),
        x_range=(low[0], high[0]),
        y_range=(low[1], high[1]),
        tools="pan,wheel_zoom,reset",
        active_scroll="wheel_zoom",
        match_aspect=True,
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
    )
    plot.axis.visible, plot.grid.visible, plot.toolbar.logo = False, False, None
    plot.segment("x0", "y0", "x", "y", source=art, line_color="#85858f", line_alpha="moved")
    look: dict[str, Any] = {"fill_color": "colour", "line_color": "colour" if many else "#85858f"}
    look |= {"fill_alpha": "alpha", "line_alpha": "alpha"}
    dots = plot.scatter("x", "y", source=source, marker="marker", size="size", **look)
    dots.nonselection_glyph = None
    dots.selection_glyph = dots.glyph.clone(line_width=4, line_color="#e0a000", line_alpha=1)
    if side:
        plot.image_url(
            "url", "x", "y", w=side, h=side, w_units="screen", h_units="screen",
            anchor="center", global_alpha="alpha", source=art,
        )  # fmt: skip
    if side and not many:
        corner = {"x_offset": -side / 2 - 3, "y_offset": -side / 2 - 3, "text_alpha": "alpha"}
        text = {"text_color": "colour", "text_font_size": "13px", "text_outline_color": "white"}
        plot.text(
            "x", "y", "shape", source=art, text_align="center", text_baseline="middle",
            **corner, **text,
        )  # fmt: skip
    plot.text(
        "x", "y", "label", source=art, x_offset="dx", y_offset="dy", text_alpha="alpha",
        text_align="center", text_baseline="middle", text_font_size=f"{FONT}px", name="labels",
        text_font={"value": "Arial, Helvetica, sans-serif"},
    )  # fmt: skip
    hover = CustomJS(code="window.conjure.hover(cb_data.index.indices, cb_data.geometry)")
    plot.add_tools(HoverTool(tooltips=None, renderers=[dots], callback=hover))
    plot.add_tools(TapTool(renderers=[dots]))
    source.selected.js_on_change("indices", CustomJS(code="window.conjure.pin(cb_obj.indices)"))
    return plot


def _text_width(line: str) -> float:
    """A width that is large enough, as the font of the browser is not known."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)
    return FONT * (0.6 * (len(line) - wide) + 1.05 * wide) + 6
