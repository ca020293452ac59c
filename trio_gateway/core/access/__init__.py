"""Access: decides which key a client shows, and what its limits allow."""
