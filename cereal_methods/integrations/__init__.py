"""The row of a running task in logs, Sentry and OpenTelemetry, and fixtures for pytest."""
