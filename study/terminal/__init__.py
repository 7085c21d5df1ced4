"""What a command hears and says: its arguments and signals, its one line where something goes wrong, without secrets."""
