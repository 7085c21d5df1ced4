"""The only part of `study` that uses MLflow.

Runs are addressed by explicit ids through `MlflowClient`. The fluent API is not used: `mlflow run` passes its run id to every child
process through the environment, and because of it the fluent API would nest or overwrite runs.
"""

from study.tracking.job import JobRun
from study.tracking.store import connect
from study.tracking.study_run import StudyRun

__all__ = ["JobRun", "StudyRun", "connect"]
