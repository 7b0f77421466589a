"""The storages that come with the package, a file each."""
