"""Version: read by the package, the log and ``/health``."""

__version__ = "0.1.0"
