#!/usr/bin/env python
"""Entry point of every Portal command; `python manage.py help` lists them."""

import sys

from portal.ops.cli import main

if __name__ == "__main__":
    main(sys.argv)
