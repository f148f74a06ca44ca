"""An app of the tests whose methods are durable."""
