"""Monitors that write what they see to the files that the environment names."""

from __future__ import annotations

import json
import os
from typing import Any

import sentry_sdk
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.transport import Transport

from cereal_methods.integrations.opentelemetry import RowSpanProcessor
from cereal_methods.integrations.sentry import RowIntegration


class FileTransport(Transport):
    """Writes what would be sent to Sentry, a line each."""

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            if item.payload.json is not None:
                with open(os.environ["TEST_SENTRY"], "a") as file:
                    file.write(json.dumps([item.type, item.payload.json]) + "\n")


def install() -> None:
    """Start what the environment asks for."""
    if "TEST_SENTRY" in os.environ:
        sentry_sdk.init(
            dsn="http://key@127.0.0.1:9/1",
            transport=FileTransport,
            integrations=[CeleryIntegration(), RowIntegration()],
            traces_sample_rate=1.0,
            send_default_pii=True,
        )
    if "TEST_SPANS" in os.environ:
        provider = TracerProvider()
        provider.add_span_processor(RowSpanProcessor())
        out = open(os.environ["TEST_SPANS"], "a", buffering=1)  # noqa: SIM115
        exporter = ConsoleSpanExporter(
            out=out, formatter=lambda span: span.to_json(indent=None) + "\n"
        )
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        CeleryInstrumentor().instrument(tracer_provider=provider)
