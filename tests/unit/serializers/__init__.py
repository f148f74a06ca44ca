"""Tests of ``cereal_methods.serializers``."""
