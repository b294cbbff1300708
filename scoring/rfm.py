"""Temporary: to be replaced by the full version."""
import numpy as np
def rfm_scores(s,f,m,cuts):
    return np.column_stack((5-np.searchsorted(cuts.silence_days,s,side='left'),1+np.searchsorted(cuts.frequency,f,side='left'),1+np.searchsorted(cuts.monetary_value,m,side='left'))).astype(np.int8)
def rfm_cuts(s,f,m):
    from schemas.scorecard import RfmCuts
    q=[.2,.4,.6,.8]
    return RfmCuts(silence_days=tuple(np.quantile(s,q).tolist()),frequency=tuple(np.quantile(f,q).tolist()),monetary_value=tuple(np.quantile(m,q).tolist()))
