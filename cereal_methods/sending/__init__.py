"""Everything that a caller does: the decorators, and the ways of sending."""
