"""Reads the runs of a study from MLflow and turns them into statistics across networks."""
