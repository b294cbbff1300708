"""Temporary: to be replaced by the full version."""
from types import SimpleNamespace
import warnings
import numpy as np
from schemas.scorecard import AliveParams, Family, SpendParams
from schemas.errors import DegenerateFitError
def fit_alive(x,tx,age,family,start=None):
    from lifetimes import BetaGeoFitter, ModifiedBetaGeoFitter
    rows,w=np.unique(np.c_[x,tx,np.round(age)],axis=0,return_counts=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m=(ModifiedBetaGeoFitter if family is Family.MBGNBD else BetaGeoFitter)(0.0)
        m.fit(rows[:,0],rows[:,1],rows[:,2],weights=w)
    p=m.params_
    return SimpleNamespace(params=AliveParams(family=family,r=p['r'],alpha_days=p['alpha'],a=p['a'],b=p['b']),log_likelihood=float(m.log_likelihood_) if hasattr(m,'log_likelihood_') else 0.0)
def fit_spend(x,m):
    raise DegenerateFitError("not yet")
