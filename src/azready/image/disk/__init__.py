"""Disk files and what is in them, read without mounting."""
