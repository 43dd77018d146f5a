#!/usr/bin/env python
"""Time, size and memory of the networks; ``python benchmark.py --help`` tells what it does."""

import sys

from benchmark.command import main

if __name__ == "__main__":
    sys.exit(main())
