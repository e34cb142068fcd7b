"""The pytest fixture `azure_fabric`, for people who test their own agent. Loaded by pytest's entry point."""
