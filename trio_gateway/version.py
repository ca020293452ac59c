"""The version, in the one place that the package, the log and ``/health`` take it from."""

__version__ = "0.1.0"
