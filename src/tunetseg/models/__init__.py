"""Trained models: what they are, their files, the packaged ones, and where they run."""
