"""`python -m conjure_kernel` runs the `conjure` command."""

import sys

from conjure_kernel.cli import main

if __name__ == "__main__":
    sys.exit(main())
