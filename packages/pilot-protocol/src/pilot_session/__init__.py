"""A session as a process holds it: its server's URL, the synchronous link to Redis, its key file.

What the libraries that users import have in common, `pilot` and `pilot_data`; neither of them imports the other.
"""
