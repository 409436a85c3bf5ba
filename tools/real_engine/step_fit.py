"""The emulated engine's step time (src/step), fitted to measured steps."""
import dataclasses
import math

import numpy
from scipy.optimize import least_squares


@dataclasses.dataclass
class StepTime:
    """In milliseconds; the names are those of src/step/time_model.h. `request` is no part of a step:
    what a request spends before and after the engine's steps, in HTTP and between processes."""
    a: float
    b: float
    c: float
    d: float
    e: float
    overlap: float
    overhead: float
    overhead_per_sequence: float
    request: float

    def milliseconds(self, seen):
        compute = self.b * seen.prefilled + self.c * seen.decoding
        total = self.a + compute
        dense = (total + math.sqrt(total**2 - 4 * self.overlap * self.a * compute)) / 2
        return (self.overhead + self.overhead_per_sequence * seen.decoding + dense
                + self.d * seen.held + self.e * seen.prefilled**2 / 2
                + (self.request if seen.kind == "prefill" else 0))


START = {"a": 3, "b": 0.3, "c": 0.2, "d": 1e-3, "e": 1e-4, "overlap": 0.5, "overhead": 3,
         "overhead_per_sequence": 0.05, "request": 3}


def fit(observations):
    """Least squares of the relative errors, with outliers held down."""
    scale = numpy.array(list(START.values()))
    upper = numpy.full(len(scale), numpy.inf)
    upper[list(START).index("overlap")] = 1 / START["overlap"]

    def errors(x):
        model = StepTime(*(x * scale))
        return [math.log(model.milliseconds(seen) / (1e3 * seen.seconds)) for seen in observations]

    best = min((least_squares(errors, numpy.array(start), bounds=(0, upper), loss="soft_l1",
                              f_scale=0.05)
                for start in (numpy.full(len(scale), 1.0), numpy.full(len(scale), 0.3),
                              numpy.full(len(scale), 1.8))), key=lambda result: result.cost)
    return StepTime(*(float(value) for value in best.x * scale))
