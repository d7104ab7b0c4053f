"""The definitions with turns that are taken over within seconds, for a worker that a test kills."""

from mmsra_pipeline.storage import leases

leases.LEASE_SECONDS, leases.RENEW_SECONDS, leases.POLL_SECONDS = 6.0, 1.0, 0.3

from mmsra_pipeline.definitions import defs as defs  # noqa: E402  (what it imports takes the numbers above)
