"""Bad signatures as fast as this machine makes them: each is refused, and the good ones beside them are served.

The rate that was reached is printed (pytest -rP): with sanitizers, and with the flood and the broker on the same two
processors, it is the machine's and not the door's.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

from hostile import MIB, beside, door  # noqa: F401

CONNECTIONS = 32
REQUESTS = 30000  # Three seconds' worth of what the specification speaks of.
FLOOD_S = 90  # The flood ends by itself before that.
LEAST_GOOD = 30  # Good answers that are waited for in the midst of it.


def test_bad_signatures_do_not_keep_the_good_ones_out(door, events):  # noqa: F811
    path = os.pathsep.join(entry for entry in sys.path if entry)
    with beside(door, events, memory_bytes=4 * MIB) as stream:
        cpu_s = door.cpu_s()
        flood = subprocess.Popen([sys.executable, Path(__file__).with_name("hostile_flood.py"), str(door.port),
                                  str(CONNECTIONS), str(REQUESTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 text=True, env={**os.environ, "PYTHONPATH": path})
        stream.wait_for(LEAST_GOOD)
        text, _ = flood.communicate(timeout=FLOOD_S)
        cpu_s = door.cpu_s() - cpu_s
    assert flood.returncode == 0
    told = json.loads(text)
    assert set(told["statuses"]) == {"401"} and told["statuses"]["401"] >= REQUESTS, told
    answered = told["statuses"]["401"]
    print(f"{answered / told['seconds']:.0f} bad signatures a second, {1e6 * cpu_s / answered:.0f} us of the door's "
          f"processor time each; slowest good answer {stream.slowest():.3f} s")
