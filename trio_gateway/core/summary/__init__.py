"""What is emitted about a prompt (`prompt`) and, as it comes, of a reasoning (`lines`)."""

from .lines import SIZES, Detail, ReasoningSummary

__all__ = ["SIZES", "Detail", "ReasoningSummary"]
