"""The survey: agents × scenarios, whoever wrote the agent: who is Ready, who fails with a reason, and whom Azure loses.

`agents` says who, `running` runs one cell, `cells` are what came of it, `conformance` the sentences that a guest owes
the platform, `pages` draws them all.
"""
