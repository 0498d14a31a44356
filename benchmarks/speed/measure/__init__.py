"""What ../engine.py measures, a file a question."""
