"""Makes recurrent networks and measures them: one MLflow run a network."""
