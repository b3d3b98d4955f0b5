# Starts firewalld's own core in this network namespace with one configuration after the other, as its daemon does, but
# without a bus. Each line of the input is "<etc folder> TAB <usr/lib folder>"; the answer is its state. An empty line
# ends it again.
import os
import sys

# firewalld 2 logs to the standard output.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

from gi.repository import GLib

from firewall import config
from firewall.core.fw import Firewall

for line in sys.stdin:
    etc, usr = line.rstrip("\n").split("\t")
    config.set_system_config_paths(etc)
    config.set_default_config_paths(usr)
    firewall = Firewall()
    try:
        firewall.start()
        # Since 2.4 it fills its sets once it has nothing else to do.
        while GLib.MainContext.default().iteration(False):
            pass
        print(firewall._state, file=answers, flush=True)
    except Exception as error:
        print("FAILED", " ".join(str(error).split()), file=answers, flush=True)
    sys.stdin.readline()
    firewall.stop()
    print("stopped", file=answers, flush=True)
