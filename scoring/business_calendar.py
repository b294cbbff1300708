"""Temporary: to be replaced by the full version."""
import numpy as np
class BusinessCalendar:
    def __init__(self, timezone_name="UTC"): pass
    def days_at(self, us): return np.asarray(us)/86_400e6
    def day_of(self, us): return np.floor(np.asarray(us)/86_400e6).astype(np.int64)
    def instant_of(self, days):
        x=np.ceil(np.asarray(days)*86_400e6)
        with np.errstate(invalid='ignore'):
            return np.where(x<9e18, x, 0).astype(np.int64)+np.where(x<9e18,0,np.iinfo(np.int64).max)
