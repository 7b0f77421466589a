"""What the parts of the system say to one another: descriptions, states, messages, keys, scripts, operations."""
