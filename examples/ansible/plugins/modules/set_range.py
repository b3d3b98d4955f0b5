#!/usr/bin/python
# Copyright: (c) 2026, the pasvsync authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation. The work is the action plugin's of the same name, which runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: set_range
short_description: Write the passive range into an FTP daemon's own configuration, and open it
description:
  - Runs C(pasvsync set-range) on the host. It changes the line that sets the daemon's passive range, and nothing else, reads the
    file again, has the daemon test it where it can, and then does what M(pasvsync.pasvsync.sync) does.
  - Where a template writes the daemon's configuration anyway, set the range there and notify a handler that runs
    M(pasvsync.pasvsync.sync).
  - No Python is needed on the host.
version_added: 1.0.0
author:
  - The pasvsync authors (@pasvsync)
extends_documentation_fragment:
  - pasvsync.pasvsync.program
options:
  range:
    description:
      - The first and the last port of the range, as in V(50000-50099).
    type: str
    required: true
  daemon:
    description:
      - The FTP daemon whose configuration is written, as in V(proftpd).
    type: str
    required: true
  restart:
    description:
      - Restart the daemon where it still runs with an older configuration.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Runs C(pasvsync set-range --dry-run). Where the range is set already, C(pasvsync check) as well.
  diff_mode:
    support: full
    description: Shows the edits of the daemon's configuration and of the firewall.
seealso:
  - module: pasvsync.pasvsync.sync
"""

EXAMPLES = r"""
- name: Give ProFTPD a hundred passive ports, and open them
  pasvsync.pasvsync.set_range:
    daemon: proftpd
    range: 50000-50099
    restart: true
"""

RETURN = r"""
set_range:
  description: What was written into the daemon's configuration or, in check mode, what would be.
  returned: unless the program ended in an error
  type: dict
  sample:
    daemon: proftpd
    first: 50000
    last: 50099
    files: [{path: /etc/proftpd/proftpd.conf, created: false, diff: "..."}]
    written: true
    restarted: true
    restart: systemctl restart proftpd
in_sync:
  description: Whether every wanted port is open and nothing of pasvsync's is left over; after the edits, when edits were made.
  returned: unless the program ended in an error
  type: bool
  sample: true
daemons:
  description: The FTP daemons, as M(pasvsync.pasvsync.sync) gives them back.
  returned: unless the program ended in an error
  type: list
  elements: dict
  sample: []
backends:
  description: The firewalls, as M(pasvsync.pasvsync.sync) gives them back. In check mode empty where the range would be written.
  returned: unless the program ended in an error
  type: list
  elements: dict
  sample: []
findings:
  description: What else the program found. Those of severity V(ignore:warning) are also warnings of the task, and those of severity
    V(ignore:error) make it fail.
  returned: unless the program ended in an error
  type: list
  elements: dict
  sample: []
rc:
  description: The program's exit status.
  returned: when the program was run
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.pasvsync.pasvsync.plugins.module_utils.arguments import SET_RANGE


def main():
    module = AnsibleModule(argument_spec=SET_RANGE, supports_check_mode=True)
    module.fail_json(msg="this is the documentation of an action plugin, which did not run")


if __name__ == "__main__":
    main()
