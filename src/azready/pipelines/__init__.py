"""Recipes that join the parts: the demo, and disk to VHD. Like the command line, they may import every part."""
