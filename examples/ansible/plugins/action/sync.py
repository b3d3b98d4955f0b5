# Copyright: (c) 2026, the pasvsync authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the module of the same name, which has the documentation."""

from __future__ import annotations

from ansible_collections.pasvsync.pasvsync.plugins.module_utils.arguments import SYNC
from ansible_collections.pasvsync.pasvsync.plugins.plugin_utils.program import ProgramAction


class ActionModule(ProgramAction):
    """`pasvsync sync`, `pasvsync check` in check mode, `pasvsync remove` where nothing shall be open."""

    ARGUMENTS = SYNC

    def work(self, arguments):
        if arguments["state"] == "absent":
            if self._task.check_mode:
                return {"skipped": True, "msg": "what there is to remove is only found out by removing it"}
            answer = self.program(arguments, ["remove"])
        elif self._task.check_mode:
            answer = self.program(arguments, ["check"])
            return self.result(answer, changed=answer.drifted())
        else:
            answer = self.program(arguments, ["sync"])
        return self.result(answer, changed=answer.says("changed"))
