"""The HTTP floor: routes and bytes, served by Quart-Trio under hypercorn."""
