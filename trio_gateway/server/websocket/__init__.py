"""WebSocket mirror: view, session and states of one conversation."""
