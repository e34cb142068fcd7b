"""One contract, two programs: every case is data, and runs against provision.py and provision.sh.

`case.py` says what a case is, `cases/` holds them by subject, `programs.py` finds interpreters, shells and HTTP
clients, `bench.py` lays a case out, runs a program on it and gathers what came of it.
"""
