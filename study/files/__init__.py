"""Files: written completely or not at all, and read as if anyone had written them."""
