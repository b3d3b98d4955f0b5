# Copyright: (c) 2026, the pasvsync authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules' documentation has in common."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  executable:
    description:
      - Where the program is on the host.
    type: path
    default: /usr/sbin/pasvsync
  backend:
    description:
      - The firewall to work with, as in V(nftables). The one in charge if not set here or in the settings file.
    type: str
  zones:
    description:
      - With firewalld, the zones to open, and no others. As the settings file says if empty, else the default zone and every active
        one that lets the control port in.
    type: list
    elements: str
    default: []
  daemon_config:
    description:
      - Where daemons' configurations are that are not in their usual places, by the daemons' names.
    type: dict
    default: {}
  control:
    description:
      - Whether the control ports (21 and the like) are opened too. As the settings file says if not set, else not.
    type: bool
  refuse_exposed:
    description:
      - Whether nothing is opened, and the task fails, while anything but an FTP daemon listens on a passive port. As the settings
        file says if not set, else that is a warning.
    type: bool
  restart_csf:
    description:
      - Restart CSF where its running rules are not as it makes them, which opens every port for about a second.
    type: bool
    default: false
  force:
    description:
      - Edit even where a rule closes the ports by name, or where bans stand behind the closing rule.
    type: bool
    default: false
  fresh:
    description:
      - Prove the next boot again, even where nothing that it depends on has changed since the last proof.
    type: bool
    default: false
  root:
    description:
      - The folder below which every configuration file is read, the settings file included.
    type: path
  extra_arguments:
    description:
      - Further command line arguments, one in each element.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
  diff_mode:
    description: Returns details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
requirements:
  - pasvsync on the host
  - root there, so O(ignore:become=true) where the connection is another user's
"""
