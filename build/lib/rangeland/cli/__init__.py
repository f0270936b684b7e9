"""cli/: one module a command; each has a click object named `command`.

Libraries other than click are imported when a command runs, so that `--help` is quick.
"""
