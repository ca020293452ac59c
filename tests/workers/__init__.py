"""Tests of a gateway that serves with several processes."""
