"""`python -m moesaic`, for where the program `moesaic` is not installed."""

import sys

from moesaic.command_line import main

sys.exit(main())
