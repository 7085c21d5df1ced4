"""The images that networks read, checked before each use."""
