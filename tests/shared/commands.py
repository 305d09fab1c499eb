"""What commands make of their arguments."""

from conjure_kernel.cli import build_parser
from conjure_kernel.cli.prompts import read_prompts


def prompts_in(source, *options):
    """The prompts that a command reads from a file."""
    words = ["map", *([] if source is None else [str(source)]), *options]
    return read_prompts(build_parser().parse_args(words))
