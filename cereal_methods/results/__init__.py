"""What tasks leave in the result backend: instances in results, and one result for a whole bulk."""
