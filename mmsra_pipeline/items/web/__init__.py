"""Pictures by URL.

In: URLs. Out: bytes, or the reason why not; each host is asked politely, each answer kept.
Open first: fetching.py.
"""
