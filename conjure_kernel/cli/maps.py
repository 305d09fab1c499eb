"""`conjure map`: a map from a matrix, or from the vectors of very many prompts."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from conjure_kernel.cli import options
from conjure_kernel.cli.measure import measure, open_model
from conjure_kernel.cli.options import say, say_written
from conjure_kernel.cli.prompts import read_prompts
from conjure_kernel.cli.vectors import embedding_of

if TYPE_CHECKING:
    from conjure_kernel.engine.pairwise import Measured

__all__ = ["add_verbs"]

MAP = """\
examples:
  conjure map                                         a list in the package; writes map.png
  conjure map prompts.txt -o map.pdf --layout umap
  conjure map prompts.txt -o map.html                 one file to explore in a browser
  conjure map prompts.txt -o map.png --guidance 3 --force
  conjure map matrix.npz -o map.html                  a matrix that was saved
  conjure map prompts.txt -o atlas.parquet            a table for Embedding Atlas

FILE may be a matrix that `conjure matrix` wrote as .npz; its map has images if it was made with
--images, and dots otherwise.

The map of more than 1,000 prompts is made from vectors (see `conjure embed`) and goes into .html
or .parquet only: dots for all, and images for 300 prompts that represent them. --draws has no
effect then.

.parquet holds text, x, y, neighbors and thumbnail: embedding-atlas atlas.parquet --text text
--x x --y y --neighbors neighbors --image thumbnail. pip install "conjure-kernel[tables]"
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    text = "write a picture of the matrix, and a map with the image that each prompt conjures"
    parser = add("map", render_map, text, MAP)
    options.add_prompts(parser, required=False)
    options.add_output(parser, ".png, .pdf, .svg, .html or .parquet", default="map.png")
    text = "images of each prompt in .html (default: as many as --draws, at most 4)"
    parser.add_argument("--images", metavar="N", type=int, help=text)
    options.add_origin(parser)
    text = "mds or umap (default: mds; for more than 1,000 prompts umap)"
    parser.add_argument("--layout", help=text)
    options.add_model(parser)


def render_map(args: Namespace) -> str:
    """Write the matrix and the map with conjured images into a file."""
    from conjure_kernel._checks import check_choice, check_number
    from conjure_kernel.cli import files
    from conjure_kernel.engine.provenance import provenance_of
    from conjure_kernel.plot.coordinates import MANY, METHODS

    files.check_output(args.output, [*files.PICTURES, ".html", ".parquet"], args.force)
    check_choice(args.layout or "mds", "--layout", METHODS)
    n_images = min(4, args.draws) if args.images is None else args.images
    check_number(n_images, "--images", least=0, integer=True)
    if (args.prompts or "").lower().endswith(".npz"):
        _write_map(args, replicates=None, **files.read_matrix(args.prompts))
        return ""
    prompts = read_prompts(args)
    if len(distinct := list(dict.fromkeys(prompts))) > MANY:
        return _write_map_of_many(args, distinct, n_images)
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
    )
    say_written(engine.denoiser.n_evaluations, args)
    return ""


def _has_replicates(measured: Measured) -> bool:
    """Whether all pairs have the same draws, and more than one."""
    return measured.n_draws > 1 and measured.draw_weights is None


def _write_map(
    args: Namespace, *, replicates: Any, provenance: dict[str, Any], **shown: Any
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
        page = html_map(**shown, coordinates=points, provenance=provenance).page
        files.write_page(args.output, page)
        return
    from conjure_kernel.plot import plot_overview

    images = shown.pop("images")
    first = None if images is None else images[:, 0]
    more: dict[str, Any] = {"replicates": replicates, "method": args.layout or "mds"}
    figure = plot_overview(**shown, images=first, **more)
    files.write_figure(args.output, figure, provenance)


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


def _write_map_of_many(args: Namespace, prompts: list[str], n_images: int) -> str:
    """Write a page, or a table, of more prompts than a matrix is for, from their vectors."""
    from conjure_kernel.cli import files
    from conjure_kernel.plot.coordinates import MANY, layout_vectors, representatives
    from conjure_kernel.plot.html import html_map

    if args.output.suffix.lower() not in (".html", ".parquet"):
        raise ValueError(
            f"'{args.output}': expected a name that ends in .html or .parquet, as "
            f"{len(prompts):,} prompts are more than {MANY:,} and make a page that can "
            "be searched; name one."
        )
    model = embedding_of(args)
    if not args.quiet:
        cost = f"up to {model.n_predictions(len(prompts)):,} noise predictions"
        say(f"{len(prompts):,} prompts get vectors instead of a matrix: {cost}")
    vectors = model.fit_transform(prompts)
    kept = representatives(vectors)
    chosen = [prompts[i] for i in kept]
    images = model.conjure_images(chosen, n_images) if n_images else None
    points = layout_vectors(vectors, method=args.layout or "umap")
    shown: dict[str, Any] = {"images": images, "pictured": kept, "coordinates": points}
    if args.output.suffix.lower() == ".parquet":
        _write_atlas(args, prompts, model.provenance_, vectors=vectors, **shown)
    else:
        page = html_map(None, prompts, vectors=vectors, provenance=model.provenance_, **shown).page
        files.write_page(args.output, page)
    say_written(model.denoiser.n_evaluations, args)
    return ""
