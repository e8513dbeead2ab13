"""Lambda: functions, function URLs and event source mappings.

`methods` declares the replacements of this folder; the checks and settings are in other modules.
"""

from terralive_sandbox.control.moto_gaps.lambda_.methods import declare as declare
