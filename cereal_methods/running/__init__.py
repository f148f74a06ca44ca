"""What a worker does with a message, from its arrival to the method's end."""
