"""The terminal client, as a script: ``python client.py "What is 2+2?"``.

It lives in ``trio_gateway/terminal``.
"""

from __future__ import annotations

import sys

from trio_gateway.terminal.command_line import command_line, main

__all__ = ["command_line", "main"]

if __name__ == "__main__":
    sys.exit(main())
