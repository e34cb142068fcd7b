"""What preparation writes into an image."""
