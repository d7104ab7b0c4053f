"""What tells how work goes: progress, MLflow, plots, alerts, the terminal."""
