"""`python -m fieldpack` is the program `fieldpack`."""

import sys

from fieldpack.cli import main

sys.exit(main())
