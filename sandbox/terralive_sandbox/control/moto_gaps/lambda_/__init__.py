"""Lambda: functions, function URLs and event source mappings.

`methods` lists everything of moto that is replaced. The other modules have the code that runs
instead.
"""

from terralive_sandbox.control.moto_gaps.lambda_.methods import declare as declare
