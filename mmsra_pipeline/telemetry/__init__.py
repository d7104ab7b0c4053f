"""What tells how work goes.

In: steps, numbers, failures. Out: progress in terminal and Dagster, MLflow runs, plots, alerts.
Open first: progress.py.
"""
