"""`python -m tests.verify.fuzz`: run what is left of the fuzz campaign, and write build/verify/fuzz.json."""

from __future__ import annotations

import sys

from tests.verify.fuzz.campaign import main

sys.exit(main())
