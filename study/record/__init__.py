"""The record of a network, and the spool in which it waits for the tracking store."""
