"""Real first boots: real useradd, chpasswd, visudo, sshd and sudo in a throw-away tree, then a real login.

`forms.py` holds the forms of images as data, `inside.py` boots one and looks who gets in, `test_live.py` judges.
"""
