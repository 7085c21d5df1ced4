"""The one part of `study` that speaks to MLflow.

Runs are addressed by explicit ids through `MlflowClient`. The fluent API is not used: `mlflow run` hands its run id to every child
process through the environment, and the fluent API would nest or overwrite runs by it.
"""

from study.tracking.job import JobRun
from study.tracking.store import connect
from study.tracking.study_run import StudyRun

__all__ = ["JobRun", "StudyRun", "connect"]
