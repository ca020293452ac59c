"""Attacks as tests: whatever is sent, the event loop is never held and nothing grows without a bound."""
