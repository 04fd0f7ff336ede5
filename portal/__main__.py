"""`python -m portal COMMAND`: what `manage.py COMMAND` does, wherever the package is installed."""

import sys

from portal.ops.cli import main

if __name__ == "__main__":
    main(sys.argv)
