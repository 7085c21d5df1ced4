"""Plans, starts, monitors and resumes the work: which networks are computed, by which workers."""
