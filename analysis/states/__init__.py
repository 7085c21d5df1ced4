"""What is computed again from the hidden states of stored networks: pictures, and how alike they are."""
