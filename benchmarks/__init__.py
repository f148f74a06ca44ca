"""Benchmarks: figures that are measured, and no tests."""
