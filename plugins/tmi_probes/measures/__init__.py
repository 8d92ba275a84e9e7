"""The formulas of the probes: functions of arrays, which know no network and no data set."""
