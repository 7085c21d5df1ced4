"""Shared views of an experiment in MLflow's UI: a table of networks with the important columns, and bands as charts.

A program cannot set the UI's default columns. But there are shared views: tags of an experiment that hold the state of its page,
which is opened by ``#/experiments/ID/runs?viewStateShareKey=NAME``.
"""

from __future__ import annotations

import json

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

KIND = "mlflow.experimentKind"  # without this tag the UI opens with pages for language models
SHARED = "mlflow.sharedViewState."
COLUMNS = ("params.`hidden_size`", "params.`seed`", "metrics.`test_accuracy`", "metrics.`period`", "metrics.`peak_dimension`")
CHARTS = {
    "blanked/accuracy": "experiment 1: accuracy by rows shown, followed by blank rows",
    "truncated/accuracy": "experiment 2: accuracy by rows shown, stopped early",
    "appended/accuracy": "experiment 3: accuracy by blank rows after the image",
    "dimension90/whole": "dimensionality by time step, all images",
    "dimension90/by_label_mean": "dimensionality by time step, one class",
    "probe/accuracy": "accuracy of the probe by time step",
}


def offer(client: MlflowClient, experiment_id: str) -> None:
    """Tags an experiment with its kind, if it has none, and with the views `networks` and `bands`.

    A user who may log runs may not be allowed to tag the experiment: then there are no views.
    """
    newest_first = {"orderByKey": "attributes.start_time", "orderByAsc": False}
    views = {"networks": newest_first | NETWORKS, "bands": newest_first | BANDS}
    tags = {SHARED + name: json.dumps(state) for name, state in views.items()}
    try:
        experiment = client.get_experiment(experiment_id)
        for name, value in ({KIND: "custom_model_development"} | experiment.tags | tags).items():
            if experiment.tags.get(name) != value:
                client.set_experiment_tag(experiment_id, name, value)
    except MlflowException as error:
        if error.error_code != "PERMISSION_DENIED":
            raise


def link(experiment_id: str, view: str) -> str:
    """The address of a view, relative to that of the UI."""
    mode = "&compareRunsMode=CHART" if view == "bands" else ""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={view}{mode}&workflowType=machine_learning"


def _line_chart(metric: str, title: str) -> dict:
    """Mean, lower and upper limit of one metric of the aggregate runs, in one chart."""
    return {
        "uuid": metric,
        "type": "LINE",
        "runsCountToCompare": 10,
        "metricSectionId": "bands",
        "deleted": False,
        "isGenerated": False,
        "displayName": title,
        "metricKey": f"{metric}/mean",
        "selectedMetricKeys": [f"{metric}/{part}" for part in ("mean", "lower", "upper")],
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


NETWORKS = {"selectedColumns": COLUMNS, "searchFilter": ""}
BANDS = {
    "selectedColumns": COLUMNS[:1],
    "searchFilter": "tags.kind = 'aggregate' and tags.current = 'true'",
    "isAccordionReordered": True,
    # Runs are folded below their study unless they are grouped; a group of one run is the run itself.
    "groupBy": {
        "aggregateFunction": "average",
        "groupByKeys": [{"mode": "param", "groupByData": "hidden_size"}, {"mode": "tag", "groupByData": "study"}],
    },
    "compareRunSections": [
        {
            "uuid": "bands",
            "name": "mean and simultaneous band",
            "display": True,
            "isReordered": True,
            "deleted": False,
            "isGenerated": False,
        }
    ],
    "compareRunCharts": [_line_chart(metric, title) for metric, title in CHARTS.items()],
}
