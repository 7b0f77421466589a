"""What the local resource management system (the batch system) has given this pilot."""
