"""Mock model: ``python mock_llm.py`` runs the package ``trio_gateway.mock`` from a checkout."""

from __future__ import annotations

import sys

from trio_gateway.mock.options_parser import main

if __name__ == "__main__":
    sys.exit(main())
