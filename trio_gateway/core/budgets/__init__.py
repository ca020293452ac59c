"""Budgets: count bytes that are held, and the pace at which they come."""
