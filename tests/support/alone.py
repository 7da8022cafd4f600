"""A network namespace without a network but the loopback, where that can be had."""

import os
import subprocess
import sys


def in_namespace():
    """Runs this program again where there is no network but the loopback, if that can be."""
    if os.environ.get("TCP_ALONE"):
        return os.environ["TCP_ALONE"] == "yes"
    alone = ["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"]
    can = subprocess.run([*alone, "true"], capture_output=True).returncode == 0
    os.environ["TCP_ALONE"] = "yes" if can else "no"
    if can:
        os.execvp(alone[0], [*alone, sys.executable, *sys.argv])
    return False
