"""Batches: messages that carry several rows, each of which runs as a separate task would."""
