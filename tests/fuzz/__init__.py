"""Bodies of messages that nobody has written, and what becomes of them."""
