"""What is made of this repository for others to install: packages of the guest program, man pages of everything.

`python -m release` (`make packages`). Nothing here is in the wheel, and azready imports nothing of it.
"""
