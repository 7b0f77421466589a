"""What the commands do with data units and Pilot-Data; imported when one is named."""
