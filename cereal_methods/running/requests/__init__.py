"""What a worker's consumer does for messages whose task ends outside of its function."""
