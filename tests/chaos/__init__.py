"""Durable tasks while senders, workers, relays, the broker and the database are killed at random.

``python -m tests.chaos`` runs it by hand; see its ``--help``.
"""
