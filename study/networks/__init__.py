"""Recurrent networks: cells, weights, hidden states, and the model that MLflow serves."""
