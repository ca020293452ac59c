"""Terminal client: ``python client.py`` runs the package ``trio_gateway.terminal`` from a checkout."""

from __future__ import annotations

import sys

from trio_gateway.terminal.command_line import command_line, main

__all__ = ["command_line", "main"]

if __name__ == "__main__":
    sys.exit(main())
