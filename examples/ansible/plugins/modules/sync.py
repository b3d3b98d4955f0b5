#!/usr/bin/python
# Copyright: (c) 2026, the pasvsync authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation. The work is the action plugin's of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: sync
short_description: Open the FTP daemons' passive ports in the firewall
description:
  - Runs C(pasvsync sync) on the host. It reads the passive ranges from the FTP daemons' own configuration, finds out by evaluating
    the live ruleset whether each port is reachable, makes the smallest edit that opens those that are not, and proves it, now
    and for the next boot.
  - This takes one command over the connection. No Python is needed on the host and nothing is copied to it, so with
    C(gather_facts=false) it also works on hosts that have none.
  - It fails when a port that is wanted cannot be opened, or a daemon would not start with its configuration, and says why and
    what to do.
version_added: 1.0.0
author:
  - The pasvsync authors (@pasvsync)
extends_documentation_fragment:
  - pasvsync.pasvsync.program
options:
  state:
    description:
      - With V(present), what the daemons need is opened, and what pasvsync has opened and nobody needs any more is closed.
      - With V(absent), everything that pasvsync has opened is closed, as by C(pasvsync remove).
    type: str
    choices: [present, absent]
    default: present
  daemon:
    description:
      - The one FTP daemon to look at, as in V(proftpd). All that are configured on the host if not set here or in the settings file.
    type: str
attributes:
  check_mode:
    support: partial
    description: Runs C(pasvsync check) and reports a change where C(pasvsync sync) would edit.
    details: With O(state=absent) the task is skipped, since what there is to remove is only found out by removing it.
  diff_mode:
    support: full
    description: Shows the rules that go and come, and the lines of the files that the next boot loads.
seealso:
  - module: pasvsync.pasvsync.set_range
"""

EXAMPLES = r"""
- name: Open the passive ports
  pasvsync.pasvsync.sync:

- name: Open ProFTPD's passive and control ports, unless something else listens there
  pasvsync.pasvsync.sync:
    daemon: proftpd
    control: true
    refuse_exposed: true

- name: Find out whether the firewall has drifted, and change nothing
  pasvsync.pasvsync.sync:
  check_mode: true
  register: firewall

- name: Say so
  ansible.builtin.assert:
    that: firewall is not changed

- name: Close what pasvsync has opened
  pasvsync.pasvsync.sync:
    state: absent
"""

RETURN = r"""
in_sync:
  description: Whether every wanted port is open and nothing of pasvsync's is left over; after the edits, when edits were made.
  returned: unless the program ended in an error
  type: bool
  sample: true
daemons:
  description: The FTP daemons, with the lines that set their passive ranges.
  returned: unless the program ended in an error
  type: list
  elements: dict
  sample:
    - daemon: vsftpd
      sources: [{path: /etc/vsftpd.conf, line: 2}]
      passive: [{first: 50000, last: 50009}]
      control: [21]
backends:
  description: The firewalls; for each of their layers, RV(ignore:runtime) and RV(ignore:permanent), the verdicts and the edits.
  returned: unless the program ended in an error
  type: list
  elements: dict
  sample:
    - backend: nftables
      layers:
        runtime:
          in_sync: true
          reach:
            - family: ipv4
              first: 50000
              last: 50009
              verdict: open
              because: "rule `tcp dport 50000-50009 accept comment pasvsync` (handle 14) of chain inet filter input (hook input)"
          edits: ["nft add rule inet filter input tcp dport 50000-50009 accept comment pasvsync"]
          diff: "@@ inet filter input @@\n+tcp dport 50000-50009 accept comment pasvsync # last\n"
findings:
  description: What else the program found. Those of severity V(ignore:warning) are also warnings of the task, and those of severity
    V(ignore:error) make it fail.
  returned: unless the program ended in an error
  type: list
  elements: dict
  sample:
    - code: range-too-small
      severity: warning
      message: 10 ports for up to 200 clients
      hint: widen the range
rc:
  description: The program's exit status; 3 is what C(pasvsync check) has for drift, and no failure.
  returned: when the program was run
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pasvsync.pasvsync.plugins.module_utils.arguments import SYNC


def main():
    module = AnsibleModule(argument_spec=SYNC, supports_check_mode=True)
    module.fail_json(msg="this is the documentation of an action plugin, which did not run")


if __name__ == "__main__":
    main()
