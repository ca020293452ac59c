"""The Trio floor: what one request does, and what the gateway holds for each upstream."""
