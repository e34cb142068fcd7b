"""Turning a live system, a root tree or a disk into an image that provisions on Azure without an agent."""
