"""A streaming gateway for reasoning models."""
