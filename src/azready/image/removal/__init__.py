"""How agents are taken out of an image."""
