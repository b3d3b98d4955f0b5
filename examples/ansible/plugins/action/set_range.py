# Copyright: (c) 2026, the pasvsync authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of the module of the same name, which has the documentation."""

from __future__ import annotations

from ansible_collections.pasvsync.pasvsync.plugins.module_utils.arguments import SET_RANGE
from ansible_collections.pasvsync.pasvsync.plugins.plugin_utils.program import ProgramAction


class ActionModule(ProgramAction):
    """`pasvsync set-range`, with `--dry-run` in check mode."""

    ARGUMENTS = SET_RANGE

    def work(self, arguments):
        command = ["set-range", arguments["range"]]
        if self._task.check_mode:
            return self.preview(arguments, command)
        answer = self.program(arguments, command)
        result = self.result(answer, changed=answer.says("changed"))
        if arguments["restart"] and not result.get("failed") and stale(result):
            # Not at once, for the daemon is to be left alone where it runs with this range already.
            again = self.result(self.program(arguments, command + ["--restart"]), changed=True)
            if again.get("failed"):
                return again
            result["set_range"]["restarted"] = again["set_range"]["restarted"]
            result.update(changed=True, findings=again["findings"], warnings=again.get("warnings", []))
        return result

    def preview(self, arguments, command):
        """What the program would write and, where it would write nothing, what it would do to the firewall."""
        answer = self.program(arguments, command + ["--dry-run"])
        if answer.says("set_range") is None:
            return self.result(answer, changed=False)
        done = answer.report["set_range"]
        if done["files"]:
            return self.result(answer, changed=True)
        # Every daemon's ports are kept open, not only those of the daemon whose range is set.
        answer = self.program(dict(arguments, daemon=None), ["check"])
        result = self.result(answer, changed=answer.drifted())
        return dict(result, set_range=done)


def stale(result):
    """Whether the daemon runs with another configuration than the one that is there."""
    return result["set_range"]["written"] or any(finding["code"] == "restart-needed" for finding in result["findings"])
