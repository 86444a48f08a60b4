"""Run the command line as ``python -m personalab``."""

import sys

from personalab.cli import main

sys.exit(main())
