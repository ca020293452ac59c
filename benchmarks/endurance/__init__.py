"""Endurance run: plays mixed traffic for minutes and compares what the gateway holds before and after."""
