"""Monitors beside real workers: Flower, Sentry and OpenTelemetry."""
