"""JSON values: parses, cuts, scans and merges them strictly and in slices."""
