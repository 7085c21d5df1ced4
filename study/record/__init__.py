"""What is kept of a network, and where it waits on its way to the tracking store."""
