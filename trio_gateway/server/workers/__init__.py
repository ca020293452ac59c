"""Workers: several processes on one listening socket, and the parent that keeps them."""
