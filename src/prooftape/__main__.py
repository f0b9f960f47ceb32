"""`python -m prooftape` is the command `prooftape`."""

import sys

from prooftape.cli import main

if __name__ == "__main__":
    sys.exit(main())
