"""First boots in a row while the platform misbehaves by a seed: who is Ready, who fails with a reason, who is silent.

`make soak` boots azready's two programs a thousand times in all, and Debian's agents under some of the same faults.
"""
