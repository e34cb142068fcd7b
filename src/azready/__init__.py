"""azready: Linux images for Azure that need no provisioning agent."""

__version__ = "0.2.0"
