"""A shop before its model and its tasks were renamed."""
