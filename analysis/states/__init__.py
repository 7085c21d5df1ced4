"""Computed anew from the hidden states of stored networks: embeddings and similarities."""
