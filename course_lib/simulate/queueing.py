"""M/G/1 queue: the mean wait for one server under Poisson arrivals, before any
batching.

Symbols: lambda arrivals a second, S service time, rho = lambda E[S] the load, c^2 =
Var[S] / E[S]^2.

Terms:
    M/G/1 queue, queueing delay, Pollaczek-Khinchine formula: the mean wait for one
        server under Poisson arrivals -> mean_wait
"""


def mean_wait(*, rate_per_s: float, service_s: float, variation: float) -> float:
    """Return the mean wait of a single server with Poisson arrivals: what a queue costs
    before any batching.

    *Equation*: W = rho / (1 - rho) * (1 + c^2) / 2 * E[S], with rho = lambda E[S].

    Args:
        rate_per_s: lambda, arrivals a second.
        service_s: E[S], mean seconds of service.
        variation: c^2: 0 if every service takes the same time (M/D/1), 1 if exponential
            (M/M/1).
    Raises:
        ValueError: if rho is 1 or more (the queue grows without end), or an argument is
        negative.
    Source: the Pollaczek-Khinchine formula; Kleinrock 1975, Queueing Systems, volume 1,
        chapter 5.

    >>> mean_wait(rate_per_s=0.5, service_s=1.0, variation=1.0)
    1.0
    """
    load = rate_per_s * service_s
    if min(rate_per_s, service_s, variation) < 0 or load >= 1:
        raise ValueError(
            f"rate_per_s={rate_per_s}, service_s={service_s}, variation={variation}: "
            "allowed are 0 or more, with rate_per_s * service_s below 1"
        )
    return load / (1 - load) * (1 + variation) / 2 * service_s
