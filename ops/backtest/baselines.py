"""lifetimes' own BG/NBD, fitted and asked by lifetimes itself."""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stdout

import numpy as np

from schemas.errors import DegenerateFitError
from scoring.backtest import Judged, Prediction

LIFETIMES = "lifetimes' BG/NBD"


def lifetimes_bgnbd(judged: Judged) -> Prediction:
    """Fit on the calibration without a penalty, one row per customer, as its documentation shows.

    lifetimes has no P(buy) for known customers. Its expectation overflows from some 200 repeat
    purchases on; what it gives there is left as it is.

    Raises
    ------
    DegenerateFitError
        It does not converge.
    """
    # lifetimes 0.11.3 uses what pandas 3 has retired, warns of overflow where its optimiser probes,
    # and prints when it fails.
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from lifetimes import BetaGeoFitter  # noqa: PLC0415 - slow to import

        fitter = BetaGeoFitter(penalizer_coef=0.0)
        history = judged.frequency, judged.t_x_days, judged.age_days
        try:
            fitter.fit(*history)
        except (ValueError, ArithmeticError) as error:  # ConvergenceError is a ValueError
            reason = " ".join(str(error).split()).rstrip(".")
            raise DegenerateFitError(f"{LIFETIMES} is left out: {reason}.") from None
        alive = fitter.conditional_probability_alive(*history)
        expected = fitter.conditional_expected_number_of_purchases_up_to_time(
            judged.horizon_days, *history
        )
    return Prediction(
        LIFETIMES,
        prob_alive=np.asarray(alive, dtype=np.float64),
        expected_purchases=np.asarray(expected, dtype=np.float64),
    )
