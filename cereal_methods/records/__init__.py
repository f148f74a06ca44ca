"""Durable tasks: recorded in a table with the caller's data, so that their effects happen once.

This is a Django app: add ``"cereal_methods.records"`` to ``INSTALLED_APPS``.
"""
