"""The SDK: flows and tasks as plain Python. Knows no Django."""
