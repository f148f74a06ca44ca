"""How bodies are written and read: one module for each format, and what the formats share."""
