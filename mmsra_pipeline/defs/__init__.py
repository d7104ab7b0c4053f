"""What Dagster loads, and nothing else: assets by stage, checks, jobs, schedules, sensors, resources.

In: a `Stage`. Out: materializations; each body is read, one call, check, publish.
Open first: interactions.py.
"""
