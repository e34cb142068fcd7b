"""Command blocks of README and docs: each is run by a test, or says why it is not."""
