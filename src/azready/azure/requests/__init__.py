"""What to ask of Azure Resource Manager: every call as a plain value. Nothing here sends anything.

One module a resource provider; `model` holds the value. A new call is a function here, an approved file in the
tests, and a use in `capture`, `publish` or `verify`.
"""
