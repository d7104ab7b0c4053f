"""Reward-tuning of the summarizer by GRPO (sec. 3.3)."""
