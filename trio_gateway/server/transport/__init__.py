"""Transport: hypercorn, h11 and wsproto, bounded and corrected."""
