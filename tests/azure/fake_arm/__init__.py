"""A stateful imitation of Azure Resource Manager on loopback: real shapes, real order rules, faults on request.

What it knows of shapes (status codes, headers, poll paths) comes from Microsoft's recordings of real traffic in the
azure-cli repository; what it knows of order rules from Microsoft's documents. It is held to Microsoft's published
schemas by the tests, and the real `az` must be able to work with it.

    model.py      resources, operations, errors, the table of routes
    groups.py network.py compute.py disks.py galleries.py    what each provider does
    rules.py rights.py   what the real Azure refuses, each rule with its source
    entra.py      tokens;  deployments.py  the templates that az sends
    server.py     TLS, threads, faults, the record of every exchange
"""
