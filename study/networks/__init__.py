"""The recurrent network: its cell, its weights, its states and the model that MLflow serves."""
