"""All commands of the project under one name, `orbits`."""
