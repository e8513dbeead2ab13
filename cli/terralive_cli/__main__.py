"""Entry point of `python -m terralive_cli`."""

from __future__ import annotations

import sys

from terralive_cli.main import main

sys.exit(main())
