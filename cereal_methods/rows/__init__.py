"""What a row is on the wire, and how it is fetched."""
