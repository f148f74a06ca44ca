"""Durable tasks: a table of what was sent, so that it runs, and runs once, whatever dies.

An app of its own: ``"cereal_methods.records"`` in ``INSTALLED_APPS``.
"""
