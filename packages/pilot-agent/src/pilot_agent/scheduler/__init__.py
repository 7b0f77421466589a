"""Which waiting unit goes next, and on which cores. Pure: events and times come in as arguments."""
