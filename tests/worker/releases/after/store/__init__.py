"""A shop after its model and its tasks were renamed."""
