"""How the work of Dagster runs, resumes, reports and is cleaned up."""
