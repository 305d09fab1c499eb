"""`conjure map`: a matrix with its images, or very many prompts by their vectors."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from conjure_kernel.cli import options
from conjure_kernel.cli.measure import end, measure, open_model
from conjure_kernel.cli.options import say
from conjure_kernel.cli.vectors import embedding_of

__all__ = ["add_verbs"]

MAP = """\
examples:
  conjure map                                         a bundled list, drawn into map.png
  conjure map prompts.txt -o map.pdf --layout umap
  conjure map prompts.txt -o map.html                 one file to explore in a browser
  conjure map prompts.txt -o map.png --guidance 3 --force
  conjure map matrix.npz -o map.html                  redraw a saved matrix

Of more than 1,000 prompts the map is made of vectors (see `conjure embed`), into .html only: dots
for all, images for 300 that stand for the others; --draws has no meaning then.

A matrix of `conjure matrix --images 4` is redrawn with its images, another one with dots.
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "draw the matrix, and a map with the image that each prompt conjures"
    picture = add("map", draw_map, text, MAP)
    options.add_prompts(picture, required=False)
    options.add_output(picture, ".png, .pdf, .svg or .html", default="map.png")
    text = "images of each prompt in .html (%(default)s; at most --draws)"
    picture.add_argument("--images", metavar="N", type=int, default=4, help=text)
    text = "mds or umap (mds; of more than 1,000 prompts umap)"
    picture.add_argument("--layout", help=text)
    options.add_model(picture)
    options.add_cache(picture)


def draw_map(args: Namespace) -> str:
    """Draw the matrix and the map with conjured images into a file."""
    from conjure_kernel._checks import check_choice
    from conjure_kernel.cli import files
    from conjure_kernel.engine.provenance import provenance_of
    from conjure_kernel.plot.coordinates import MANY, METHODS

    files.check_output(args.output, [*files.PICTURES, ".html"], args.force)
    check_choice(args.layout or "mds", "--layout", METHODS)
    if (args.prompts or "").lower().endswith(".npz"):
        found = files.read_matrix(args.prompts)
        _write_map(args, draws=None, **found)
        return ""
    prompts = files.read_prompts(args.prompts, args.column)
    if len(distinct := list(dict.fromkeys(prompts))) > MANY:
        return _draw_many(args, distinct)
    engine = open_model(args)
    measured = measure(engine, prompts, args)
    _write_map(
        args,
        divergences=measured.values,
        labels=measured.prompts_a,
        standard_errors=measured.standard_errors,
        draws=measured.draws,
        images=engine.images(measured.prompts_a, min(args.images, args.draws)),
        provenance=provenance_of(engine),
    )
    return end(engine, args)


def _write_map(args: Namespace, *, draws: Any, provenance: dict[str, Any], **shown: Any) -> None:
    from conjure_kernel.cli import files

    if args.output.suffix.lower() == ".html":
        from conjure_kernel.plot import layout
        from conjure_kernel.plot.html import html_map

        points = layout(shown["divergences"], method=args.layout or "mds")
        page = html_map(**shown, coordinates=points, provenance=provenance).page
        files.write_page(args.output, page)
        return
    from conjure_kernel.plot import plot_overview

    images = shown.pop("images")
    first = None if images is None else images[:, 0]
    figure = plot_overview(**shown, images=first, draws=draws, method=args.layout or "mds")
    files.write_figure(args.output, figure, provenance)


def _draw_many(args: Namespace, prompts: list[str]) -> str:
    """Draw more prompts than a matrix is for, by their vectors, into a page."""
    from conjure_kernel.cli import files
    from conjure_kernel.plot.coordinates import MANY, layout_vectors, representatives
    from conjure_kernel.plot.html import html_map

    if args.output.suffix.lower() != ".html":
        raise ValueError(
            f"{len(prompts):,} prompts: above {MANY:,} a map is drawn from vectors, into one .html "
            f"file that can be searched. '{args.output}' came."
        )
    model = embedding_of(args)
    if not args.quiet:
        cost = f"up to {model.n_predictions(len(prompts)):,} noise predictions"
        say(f"{len(prompts):,} prompts: vectors instead of a matrix, {cost}")
    vectors = model.fit_transform(prompts)
    kept = representatives(vectors)
    chosen = [prompts[i] for i in kept]
    images = model.conjure_images(chosen, args.images) if args.images else None
    points = layout_vectors(vectors, method=args.layout or "umap")
    shown: dict[str, Any] = {"images": images, "pictured": kept, "coordinates": points}
    page = html_map(None, prompts, vectors=vectors, provenance=model.provenance_, **shown).page
    files.write_page(args.output, page)
    if not args.quiet:
        made = model.denoiser.n_evaluations
        say(f"{made:,} noise predictions made, '{args.output}' written")
    return ""
