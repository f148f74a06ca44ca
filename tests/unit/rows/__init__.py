"""Tests of ``cereal_methods.rows``."""
