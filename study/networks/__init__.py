"""The recurrent network: its weights, its states and the model that MLflow serves."""
