"""Runs one driver; the last line it prints is what was seen."""

import json
import sys
from dataclasses import asdict
from importlib import import_module

module, _, function = sys.argv[1].partition(":")
seen = getattr(import_module(f"{__package__}.{module}"), function)(sys.argv[2], sys.argv[3:])
print("\n" + json.dumps(asdict(seen)))
