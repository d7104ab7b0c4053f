"""Reward-tuning of the summarizer by GRPO (sec. 3.3).

In: items, an aligned backbone. Out: an adapter, and whether it helped on held-out items.
Open first: grpo.py.
"""
