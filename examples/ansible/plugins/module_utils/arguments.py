# Copyright: (c) 2026, the pasvsync authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules' parameters, for the action plugins that do the work and for the modules that document them.

What the program itself checks, such as the names of daemons and firewalls, is left to it: the collection then works with
any version of it.
"""

from __future__ import annotations

COMMON = {
    "executable": {"type": "path", "default": "/usr/sbin/pasvsync"},
    "backend": {"type": "str"},
    "zones": {"type": "list", "elements": "str", "default": []},
    "daemon_config": {"type": "dict", "default": {}},
    "control": {"type": "bool"},
    "refuse_exposed": {"type": "bool"},
    "restart_csf": {"type": "bool", "default": False},
    "force": {"type": "bool", "default": False},
    "fresh": {"type": "bool", "default": False},
    "root": {"type": "path"},
    "extra_arguments": {"type": "list", "elements": "str", "default": []},
}

SYNC = dict(
    COMMON,
    state={"type": "str", "choices": ["present", "absent"], "default": "present"},
    daemon={"type": "str"},
)

SET_RANGE = dict(
    COMMON,
    range={"type": "str", "required": True},
    daemon={"type": "str", "required": True},
    restart={"type": "bool", "default": False},
)
