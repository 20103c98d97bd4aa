"""How far clocks may differ: tokens, rate limits and the age of what is missing are read from different ones."""

from __future__ import annotations

from collections.abc import Iterator

from remit.doctor.findings import Finding, fine, noted, wrong

# Beyond the first an operator misreads times; beyond the second, tokens and lags are judged wrongly.
_NOTED_S, _WRONG_S = 1.0, 10.0


def compared(what: str, clock_s: float, own_s: float) -> Iterator[Finding]:
    """A server's clock beside this machine's, both Unix time in seconds, read at one moment."""
    difference_s = clock_s - own_s
    says = f"the clock of {what} is {abs(difference_s):.1f} s {'ahead of' if difference_s > 0 else 'behind'} this one"
    if abs(difference_s) > _WRONG_S:
        yield wrong(says, "let all machines take their time from one source (chrony, systemd-timesyncd)")
    elif abs(difference_s) > _NOTED_S:
        yield noted(says, "see whether both machines take their time from one source")
    else:
        yield fine(f"the clock of {what} agrees with this one to {abs(difference_s) * 1000:.0f} ms")
