"""What the peers in Python have in common: the settings that they are given, the inputs, and the one line they print."""
import json
import os
import resource
import sys
import time

SETTINGS = json.loads(sys.argv[1])
"""threads, files (name → path), and what the task says."""


def lines_of(path):
    """Records of a JSON Lines file, which is split at \\n only."""
    with open(path, encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file.read().split("\n") if line]


def use_threads():
    import torch

    torch.set_num_threads(SETTINGS["threads"])
    torch.manual_seed(1)


def startup_seconds():
    """Since the process was started, imports included."""
    return time.time() - float(os.environ["VALORA_PEERS_STARTED"])


def report(work, seconds, startup, answers, **more):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = {"work": work, "seconds": seconds, "startup_seconds": startup, "peak_rss_bytes": peak, "answers": answers}
    print(json.dumps({**line, **more}), flush=True)
