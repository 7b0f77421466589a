"""Moves the files of compute units on the machine where they run; a pilot's agent starts it and tells it what to do."""
