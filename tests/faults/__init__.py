"""The bad day: servers, connections and workers that are stopped and killed on purpose."""
