"""What the server of step processes has ready before it forks one: the definitions. Importing it loads them."""

from mmsra_pipeline.orchestration.loading import load_definitions

load_definitions().get_repository_def()
