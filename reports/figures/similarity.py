"""Similarity of the hidden states of networks of one hidden size at each time step."""

from __future__ import annotations

import pandas as pd

from analysis.states.similarity import mean_over_pairs
from analysis.study_analysis import Analysis
from reports.figures.figure import TIME, Figure, first_states_equal, image_rows, row_ticks
from reports.figures.style import BLUE, VERMILION, panels, styled
from study.schema import of_source

MEASURES = (("cka", "linear CKA", BLUE), ("svcca", "SVCCA", VERMILION))


def similarity(analysis: Analysis) -> Figure | None:
    """The mean and range over all pairs of networks, trained and untrained; one panel per hidden size."""
    if not analysis.similarities:
        return None
    rows = []
    with styled():
        figure, [row] = panels(len(analysis.similarities), height=2.5, sharey=True)
        for axes, (size, similarities) in zip(row, sorted(analysis.similarities.items()), strict=True):
            for name, label, colour in MEASURES:
                for of, style in (("trained", "-"), ("untrained", "--")):
                    pairs = of_source(similarities[name], of)
                    mean = mean_over_pairs(pairs)
                    spread = pairs.where(pairs.seed != pairs.other_seed)
                    axes.fill_between(
                        pairs.time_step,
                        spread.min(["seed", "other_seed"]),
                        spread.max(["seed", "other_seed"]),
                        color=colour,
                        alpha=0.12,
                        linewidth=0,
                    )
                    axes.plot(pairs.time_step, mean, color=colour, linestyle=style, label=f"{label}, {of}")
                    rows.append(
                        pd.DataFrame(
                            {
                                "hidden_size": size,
                                "measure": name,
                                "source": of,
                                "n": similarities.sizes["seed"],
                                "time_step": pairs.time_step.values,
                                "mean_over_pairs": mean.values,
                            }
                        )
                    )
            axes.set(title=f"H = {size}", xlabel=TIME, ylim=(0, 1.02), xticks=row_ticks(image_rows(similarities)))
        row[0].set_ylabel("similarity")
        figure.legend(*row[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    equal = first_states_equal(analysis.dataset)
    undefined = " At step 1 all states are equal and similarity is not defined." if equal else ""
    networks = ", ".join(
        f"{similarities.sizes['seed']} at H = {size}" for size, similarities in sorted(analysis.similarities.items())
    )
    return Figure(
        "similarity",
        figure,
        f"Similarity of the hidden states of different networks at each time step, before and after training, on the same test "
        f"images: linear CKA, and SVCCA of the directions that carry 99% of the variance. Lines: mean over all pairs of networks; "
        f"shading: range from the least to the most similar pair, which is not a confidence band.{undefined} "
        f"Networks: {networks}.",
        "Line charts, one for each hidden size, of similarity against the time step.",
        pd.concat(rows, ignore_index=True),
    )
