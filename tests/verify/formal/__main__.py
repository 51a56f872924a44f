"""`python -m tests.verify.formal`: prove what is not proved yet, and write build/verify/formal.json and formal.md."""

from __future__ import annotations

import sys

from tests.verify.formal.run import main

sys.exit(main())
