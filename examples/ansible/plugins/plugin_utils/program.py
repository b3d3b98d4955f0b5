# Copyright: (c) 2026, the pasvsync authors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs pasvsync on a host, by one command over the connection, and makes a task's result of its report.

Nothing is copied to the host and no Python is needed there.
"""

from __future__ import annotations

import json
import re
import shlex

from ansible.plugins.action import ActionBase

# The version of the report that is understood here.
SCHEMA = 1
# What the shell exits with when it cannot run a program.
CANNOT_RUN = (126, 127)


class ProgramAction(ActionBase):
    """What the actions have in common: they check their arguments, run the program and give back its report."""

    TRANSFERS_FILES = False
    # Of parameters, as AnsibleModule takes them.
    ARGUMENTS = {}

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        arguments = self.validate_argument_spec(self.ARGUMENTS)[1]
        result.update(self.work(arguments))
        if "warnings" in result:
            # Ansible prints them without the host's name, which in a fleet is what one wants to know.
            host = (task_vars or {}).get("inventory_hostname", "")
            result["warnings"] = [f"{host}: {warning}" for warning in result["warnings"]]
        return result

    def work(self, arguments):
        """What the task comes to. The host is changed unless the task runs in check mode."""
        raise NotImplementedError

    def program(self, arguments, command):
        """Runs the program with the options that the arguments ask for."""
        words = [arguments["executable"], *command, *options(arguments), "--output", "json"]
        line = " ".join(shlex.quote(word) for word in words)
        # Over ssh the program finds itself on a terminal.
        environment = self._compute_environment_string()
        answer = self._low_level_execute_command(f"NO_COLOR=1 {environment} {line}")
        return Answer(arguments["executable"], answer)

    def result(self, answer, changed):
        """The task's result: the report, with its findings as warnings and errors, and its edits as a diff."""
        if not answer.reports():
            return {"failed": True, "msg": answer.failure(), "rc": answer.status}
        report = {key: value for key, value in answer.report.items() if key != "schema"}
        # Said expressly, since Ansible takes any other exit status than 0 for a failure.
        result = dict(report, changed=bool(changed), failed=False, rc=answer.status)
        errors = answer.findings("error")
        if not errors and not answer.as_expected():
            errors = answer.not_open() or [answer.failure()]
        if errors:
            result.update(failed=True, msg="; ".join(errors))
        warnings = answer.findings("warning")
        if warnings:
            result["warnings"] = warnings
        if self._task.diff and changed:
            result["diff"] = answer.diff()
        return result


class Answer:
    """What a run of the program came to."""

    def __init__(self, executable, answer):
        self.executable = executable
        self.status = answer["rc"]
        # Over ssh there is a terminal, by which everything comes as standard output; ssh's own words are not of interest then.
        self.text = answer["stdout"].strip() or answer["stderr"].strip()
        self.report = report_in(answer["stdout"])

    def reports(self):
        """Whether there is a report: not where the program could not be run, or ended in an error."""
        return self.report is not None and "error" not in self.report

    def says(self, key):
        """What the report says, or None where there is none."""
        return self.report.get(key) if self.reports() else None

    def drifted(self):
        """Whether `check` found something that `sync` would change."""
        return self.reports() and any(layer["edits"] for _backend, _name, layer in self.layers())

    def as_expected(self):
        """Whether the program did what it was asked; drift that can be mended is what `check` is there to find."""
        return self.status == 0 or (self.status == 3 and self.drifted())

    def layers(self):
        """The name of each firewall and of its layer, with what that lets in."""
        for backend in self.report["backends"]:
            # What is now comes before what will be.
            for name, layer in sorted(backend["layers"].items(), reverse=True):
                yield backend["backend"], name, layer

    def findings(self, severity):
        """The findings of one severity, one line each."""
        return [line(finding) for finding in self.report["findings"] if finding["severity"] == severity]

    def not_open(self):
        """The verdicts on the ports that are wanted and not open, one line each."""
        return [
            plain("{first}-{last} {verdict} over {family}: {because}".format(**entry))
            for _backend, _name, layer in self.layers()
            for entry in layer["reach"]
            if entry["verdict"] != "open"
        ]

    def diff(self):
        """The edits as Ansible shows them: of the daemon's files, then of each layer of each firewall."""
        files = (self.report.get("set_range") or {}).get("files", [])
        parts = [{"prepared": file["diff"]} for file in files]
        for backend, name, layer in self.layers():
            if layer["diff"]:
                when = "after the next boot" if name == "permanent" else "now"
                parts.append({"prepared": f"{backend}, {when}:\n{layer['diff']}"})
        return parts

    def failure(self):
        """Why there is no report, or what the program says of its error."""
        if self.report is not None:
            return line(self.report["error"]) if "error" in self.report else f"{self.executable} ended with status {self.status}"
        if self.status in CANNOT_RUN:
            return (
                f"{self.executable} cannot be run on this host ({plain(self.text)}): install the pasvsync package or its static "
                "binary there, for instance with the role pasvsync.pasvsync.pasvsync, or say with `executable` where it is"
            )
        return f"{self.executable} ended with status {self.status} and without a report that is understood here: {plain(self.text)}"


def options(arguments):
    """The command line options of the parameters that are set."""
    words = []
    for name in ("backend", "daemon", "root"):
        if arguments.get(name) is not None:
            words += [f"--{name}", arguments[name]]
    for name in ("control", "refuse_exposed"):
        if arguments[name] is not None:
            words.append(f"--{name.replace('_', '-')}={str(arguments[name]).lower()}")
    for name, path in sorted(arguments["daemon_config"].items()):
        words += ["--daemon-config", f"{name}={path}"]
    for zone in arguments["zones"]:
        words += ["--zone", zone]
    for name in ("restart_csf", "force", "fresh"):
        if arguments[name]:
            words.append(f"--{name.replace('_', '-')}")
    return words + arguments["extra_arguments"]


def report_in(text):
    """The report in what the program printed, or None.

    Other text may come before it: what a login shell prints and, where the connection goes through a terminal, everything
    that is written to standard error.
    """
    decoder = json.JSONDecoder()
    for start in re.finditer(r"^\{", text, re.MULTILINE):
        try:
            value, _end = decoder.raw_decode(text, start.start())
        except ValueError:
            continue
        if value.get("schema") == SCHEMA:
            return value
    return None


def line(finding):
    """A finding or an error in one line: its place, what it says, and the hint."""
    place = ":".join(str(finding[key]) for key in ("path", "line", "column") if key in finding)
    text = f"{place}: {finding['message']}" if place else finding["message"]
    if "hint" in finding:
        text += f" (hint: {finding['hint']})"
    return plain(text)


def plain(text):
    """The text in one line and without control characters: it may quote files that anybody wrote."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
