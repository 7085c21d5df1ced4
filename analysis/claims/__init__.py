"""What is claimed, by which rule it is judged, and what was found."""
