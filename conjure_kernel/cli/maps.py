"""`conjure map`: a map from a matrix, or from the vectors of many prompts."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

import numpy as np

from conjure_kernel.cli import options
from conjure_kernel.cli.embedded import holds_vectors
from conjure_kernel.cli.given import check_given
from conjure_kernel.cli.measure import measure, open_model
from conjure_kernel.cli.options import say, say_written, settings_of
from conjure_kernel.cli.prompts import (
    listed_names,
    listed_prompts,
    read_colours,
    read_prompts,
)
from conjure_kernel.cli.unknown import tell_unknown
from conjure_kernel.cli.vectors import embedding_of
from conjure_kernel.engine.parameters import OF_A_MAP

if TYPE_CHECKING:
    from conjure_kernel.engine.pairwise import Measured

__all__ = ["add_verbs"]

FEW = 60  # prompts up to which a map is made of J of all pairs, unless --exact asks for it
MEASURED = {  # options that a saved file has made up its mind about, by name in its provenance
    "model": "model",
    "steps": "n_steps",
    "guidance": "guidance_scale",
    "sampler": "sampler",
    "seed": "seed",
}

MAP = """\
examples:
  conjure map                                         436 names in the package; writes map.png
  conjure map --exact                                 24 everyday things, with the matrix of J
  conjure map prompts.txt -o map.pdf --layout umap
  conjure map prompts.txt -o map.html                 one file to explore in a browser
  conjure map words.csv --colour theme -o map.html    the page can colour by this column
  conjure map prompts.txt -o map.png --guidance 3 --force
  conjure map matrix.npz -o map.html                  a matrix or vectors that were saved
  conjure map prompts.txt -o atlas.parquet            a table for Embedding Atlas

Up to 60 prompts get a matrix of J. More get vectors, seen from the empty prompt, at a price that
grows with their number and not with its square (see `conjure embed`); --exact gives them a matrix,
too. --draws and --origin have no effect on vectors. Above 1,000 prompts 300 that represent all have
images; the others are dots on the page, and are not in a picture.

FILE may be what `conjure matrix` or `conjure embed` wrote as .npz. Such a map needs no model, and
has images if the file was made with --images.

.parquet holds text, x, y, neighbors and thumbnail: embedding-atlas atlas.parquet --text text
--x x --y y --neighbors neighbors --image thumbnail. pip install "conjure-kernel[tables]"
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "write a picture of the matrix, and a map with the image that each prompt conjures"
    parser = add("map", render_map, text, MAP)
    options.add_prompts(parser, required=False)
    options.add_output(parser, ".png, .pdf, .svg, .html or .parquet", default="map.png")
    text = "images of each prompt in .html (default: as many as --draws, at most 4; of vectors 1)"
    parser.add_argument("--images", metavar="N", type=int, help=text)
    options.add_origin(parser)
    text = "mds or umap (default: mds; of vectors umap)"
    parser.add_argument("--layout", help=text)
    text = "a column of the table in FILE by which the page can colour prompts; repeatable"
    parser.add_argument("--colour", metavar="COLUMN", action="append", default=[], help=text)
    text = "measure J of all pairs, however many prompts there are"
    parser.add_argument("--exact", action="store_true", help=text)
    options.add_model(parser)


def render_map(args: Namespace) -> str:
    """Write the matrix and the map with conjured images into a file."""
    from conjure_kernel._checks import check_choice, check_number
    from conjure_kernel.cli import files
    from conjure_kernel.engine.provenance import provenance_of
    from conjure_kernel.plot.coordinates import METHODS

    files.check_output(args.output, [*files.PICTURES, ".html", ".parquet"], args.force)
    check_choice(args.layout or "mds", "--layout", METHODS)
    if args.images is not None:
        check_number(args.images, "--images", least=0, integer=True)
    if args.colour and args.output.suffix.lower() != ".html":
        raise ValueError(f"--colour: expected with an .html page only, got '{args.output}'.")
    if (args.prompts or "").lower().endswith(".npz"):
        read_colours(args, [])
        if holds_vectors(args.prompts):
            return _redraw_vectors(args)
        read = files.read_matrix(args.prompts)
        _check_saved(args, MEASURED | {"draws": "n_draws", "origin": "origin"}, read["provenance"])
        read["images"] = _saved_images(args, read["images"])
        _write_map(args, replicates=None, **read)
        say_written(0, args)
        return ""
    bundled = args.prompts is None and args.exact
    prompts = listed_prompts() if bundled else read_prompts(args)
    tell_unknown(args, prompts)
    if len(distinct := list(dict.fromkeys(prompts))) > FEW and not args.exact:
        return _map_vectors(args, distinct, 1 if args.images is None else args.images)
    n_images = min(4, args.draws) if args.images is None else args.images
    colours = read_colours(args, prompts)
    engine = open_model(args)
    measured = measure(engine, prompts, args)
    _write_map(
        args,
        divergences=measured.values,
        labels=measured.prompts_a,
        standard_errors=measured.standard_errors,
        replicates=measured.replicates if _has_replicates(measured) else None,
        images=engine.images(measured.prompts_a, n_images) if n_images else None,
        provenance=provenance_of(engine),
        columns=colours,
    )
    say_written(engine.denoiser.n_evaluations, args)
    return ""


def _has_replicates(measured: Measured) -> bool:
    """Whether all pairs have the same draws, and more than one."""
    return measured.n_draws > 1 and measured.draw_weights is None


def _write_map(
    args: Namespace,
    *,
    replicates: Any,
    provenance: dict[str, Any],
    columns: dict[str, Any] | None = None,
    **shown: Any,
) -> None:
    """Write a page, a picture or a table of a matrix."""
    from conjure_kernel.cli import files

    if args.output.suffix.lower() == ".parquet":
        del shown["standard_errors"]
        return _write_atlas(args, shown.pop("labels"), provenance, **shown)
    relative = provenance.get("origin") is not None
    shown["unit"] = "units of both from the empty prompt" if relative else "nats"
    if args.output.suffix.lower() == ".html":
        from conjure_kernel.plot import layout
        from conjure_kernel.plot.html import html_map

        points = layout(shown["divergences"], method=args.layout or "mds")
        shown |= {"coordinates": points, "provenance": provenance, "columns": columns}
        page = html_map(**shown).page
        files.write_page(args.output, page)
        return
    from conjure_kernel.plot import plot_overview

    images = shown.pop("images")
    first = None if images is None else images[:, 0]
    more: dict[str, Any] = {"replicates": replicates, "method": args.layout or "mds"}
    shown |= {"images": first, **more}
    files.write_figure(args.output, args, provenance, plot_overview, **shown)


def _write_atlas(
    args: Namespace, prompts: list[str], provenance: dict[str, Any], *, images: Any, **shown: Any
) -> None:
    """Write a table for Embedding Atlas, of a matrix or of vectors."""
    from conjure_kernel.cli import files
    from conjure_kernel.plot import layout
    from conjure_kernel.plot.atlas import atlas_table

    if "divergences" in shown:
        points = layout(shown["divergences"], method=args.layout or "mds")
        shown["coordinates"] = points
    first = None if images is None else images[:, 0]
    files.write_frame(args.output, atlas_table(prompts, images=first, **shown), provenance)


def _map_vectors(args: Namespace, prompts: list[str], n_images: int) -> str:
    """Write a map of prompts from their vectors, which cost less than a matrix."""
    from conjure_kernel.engine.opening import open_engine
    from conjure_kernel.plot.coordinates import MANY, N_REPRESENTATIVES, representatives

    n, model = len(prompts), embedding_of(args, **OF_A_MAP)
    n_pictured = n if n <= MANY else N_REPRESENTATIVES
    if not args.quiet:
        cost, pictures = model.n_predictions(n), model.n_predictions(n_pictured, n_images)
        cost += pictures - model.n_predictions(n_pictured)
        engine = open_engine(settings_of(args))
        exact = engine.n_predictions(n * args.draws, n * (n - 1) * args.draws)
        say(
            f"{n:,} prompts: a map of vectors, up to {cost:,} noise predictions; --exact makes one "
            f"of J of all pairs, for {exact:,}"
        )
    colours = read_colours(args, prompts)
    vectors = model.fit_transform(prompts)
    kept = np.arange(n) if n <= MANY else representatives(vectors)
    chosen = [prompts[i] for i in kept]
    images = model.conjure_images(chosen, n_images) if n_images else None
    columns = {**colours, "vividness, nats": model.vividness(prompts)}
    _write_vectors(args, prompts, vectors, kept, images, model.provenance_, n, columns)
    say_written(model.denoiser.n_evaluations, args)
    return ""


def _redraw_vectors(args: Namespace) -> str:
    """Write a map of the vectors in a file, without a model."""
    from conjure_kernel.cli.embedded import read_embedded
    from conjure_kernel.plot.coordinates import MANY, representatives

    read = read_embedded(args.prompts)
    _check_saved(args, MEASURED, read.provenance)
    if args.exact:
        raise ValueError(
            f"--exact: expected prompts to measure, got the vectors in {args.prompts!r}; pass the "
            "file of the prompts."
        )
    n, images = len(read.prompts), _saved_images(args, read.images)
    kept = np.arange(n) if n <= MANY else representatives(read.vectors)
    pictures = None if images is None else images[kept]
    n_first = read.n_first
    if 2 * n_first < n:
        say(f"{n - n_first:,} of {n:,} prompts were added later: the map is laid out anew")
        n_first = n
    known = (args, read.prompts, read.vectors, kept, pictures)
    _write_vectors(*known, read.provenance, n_first)
    say_written(0, args)
    return ""


def _check_saved(args: Namespace, names: dict[str, str], provenance: dict[str, Any]) -> None:
    """Raise an error if an option says something else than what a saved file was made with."""
    anew = f"{args.prompts!r} was made; leave it out, or pass the file of the prompts."
    check_given(args, names, provenance, anew)
    for option in ("adapter", "set"):
        if getattr(args, option):
            raise ValueError(f"--{option}: expected none, with which {anew}")


def _saved_images(args: Namespace, images: np.ndarray | None) -> np.ndarray | None:
    """As many of the saved images of each prompt as --images asks for."""
    n_saved = 0 if images is None else images.shape[1]
    if args.images is not None and args.images > n_saved:
        raise ValueError(
            f"--images={args.images}: expected at most {n_saved}, as in {args.prompts!r}; leave it "
            "out, or make the file anew with --images."
        )
    return None if images is None or args.images == 0 else images[:, : args.images]


def _write_vectors(
    args: Namespace,
    prompts: list[str],
    vectors: np.ndarray,
    kept: np.ndarray,
    images: np.ndarray | None,
    provenance: dict[str, Any],
    n_first: int,
    columns: dict[str, Any] | None = None,
) -> None:
    """Write a page, a picture or a table of vectors; the prompts `kept` have images."""
    from conjure_kernel.cli import files
    from conjure_kernel.estimators.clusters import find_clusters
    from conjure_kernel.plot import layout_vectors, neighbors_of, plot_mosaic
    from conjure_kernel.plot.maps import map_figure

    points = layout_vectors(vectors, method=args.layout or "umap", n_first=n_first)
    kind = args.output.suffix.lower()
    shown: dict[str, Any] = {"images": images, "pictured": kept}
    more: dict[str, Any]
    if kind == ".parquet":
        more = {"vectors": vectors, "coordinates": points}
        return _write_atlas(args, prompts, provenance, **shown, **more)
    if kind == ".html":
        from conjure_kernel.plot.html import html_map

        kinds = listed_names() if args.prompts is None else None
        groups = find_clusters(prompts, vectors=vectors, hypernyms=kinds)
        more = {
            "coordinates": points,
            "provenance": provenance,
            "clusters": groups,
            "n_first": n_first,
            "columns": columns,
        }
        page = html_map(None, prompts, vectors=vectors, **shown, **more).page
        return files.write_page(args.output, page)
    names = [prompts[i] for i in kept]
    if images is None:
        files.write_figure(args.output, args, provenance, map_figure, points[kept], names)
    else:
        kinds = listed_names() if args.prompts is None else None
        groups = find_clusters(names, vectors=vectors[kept], hypernyms=kinds)
        n_together = n_first if len(kept) == len(prompts) else len(kept)
        more = {"near": neighbors_of(vectors[kept], 10, n_together), "n_first": n_together}
        more["clusters"], drawn = groups, (points[kept], names, images[:, 0])
        files.write_figure(args.output, args, provenance, plot_mosaic, *drawn, **more)
