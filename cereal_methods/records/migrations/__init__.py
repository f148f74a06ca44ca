"""The migrations of the table of records."""
