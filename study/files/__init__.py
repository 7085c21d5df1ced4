"""Files that are written whole or not at all, and read as if anyone had written them."""
