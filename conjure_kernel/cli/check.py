"""`conjure check`: the first thing to run on a new model, and what a report of a fault needs."""

from __future__ import annotations

from argparse import Namespace
from io import BytesIO

from conjure_kernel.cli import options
from conjure_kernel.cli.options import settings_of

__all__ = ["add_verbs"]

CHECK = """\
examples:
  conjure check embedded
  conjure check my-fine-tune.safetensors --config base-folder --adapter style.safetensors:0.8
  conjure check my-folder -o three.png --set height=512 --set width=512

Prints the law that was read off the scheduler, how guidance enters, whether prompts may share a
call, whether it answers twice alike, what its text encoders read, and what one prediction costs.
That the weights were trained with this law cannot be seen: compare it with the model's card. The
exit code is 2, with the reason, if the model cannot be measured. OUTPUT shows three prompts.
"""


def add_verbs(add: options.Add) -> None:
    """Add the command; `add` makes a parser of a name, a function, a line and an epilog."""
    parser = add("check", check, "tell whether and how a model can be measured", CHECK)
    options.add_output(parser, ".png, with pictures of three prompts", required=False)
    options.add_model(parser, by_position=True)


def check(args: Namespace) -> str:
    """Load a model, try it, and describe it on one page."""
    from conjure_kernel.cli import files
    from conjure_kernel.engine.checkup import PICTURED, check_up
    from conjure_kernel.engine.opening import open_engine

    if args.output is not None:
        files.check_output(args.output, [".png"], args.force)
    engine = open_engine(settings_of(args))
    page = check_up(engine)
    if args.output is not None:
        import numpy as np
        from PIL import Image

        pictures, written = engine.images(PICTURED), BytesIO()
        Image.fromarray(np.hstack(list(pictures[:, 0]))).save(written, "PNG")
        files.write_output(args.output, written.getvalue())
        page["pictures"] = str(args.output)
    width = max(map(len, page)) + 2
    return "\n".join(f"{name:<{width}}{text}" for name, text in page.items())
