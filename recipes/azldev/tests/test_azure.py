"""What Azure asks of an image, and whether it provisions: `pytest --image-path DISK`."""

import subprocess
import sys


def azready(*words):
    return subprocess.run([sys.executable, "-m", "azready", *map(str, words)], capture_output=True, text=True)


def test_nothing_fatal_is_found(image):
    done = azready("check", image, "--fail-on", "fatal")
    assert done.returncode == 0, done.stdout


def test_it_provisions(image):
    done = azready("boot", image, "--boots", "1")
    assert done.returncode == 0, done.stdout


def test_it_provisions_when_the_platform_is_not_ready_yet(image):
    done = azready("boot", image, "--boots", "1", "--scenario", "goalstate-503")
    assert done.returncode == 0, done.stdout
