"""The command ``pilot-data``. One file for each of its commands; `main` knows them all."""
