"""Judges that nobody here wrote: a kept VM is handed to a command, whose JUnit and exit code become the boot's checks.

`access` is what a judge is handed, `judges` which there are, `junit` what they say, `running` runs one.
"""
