"""What is seen of a guest while it runs and after: console, journal, login."""
