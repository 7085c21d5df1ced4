"""What a stored record lacks for a study, and how new measurements are added to it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import xarray as xr

from study.config import NetworkConfig
from study.files.untrusted import Refused, json_object
from study.measurements import MEASUREMENTS, names_in_set, versions_of
from study.networks.network import RecurrentNetwork
from study.record.keys import record_key
from study.record.network_record import made_with, measured
from study.schema import MEASURED, NOBODY, OF_IMAGES, measured_in_words, measurements_of, with_sources_of_both, without


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A network that was trained and measured earlier.

    Attributes: `config`, what is asked of it now; its `network`; its `record`; `blank_rows`, how many it was measured under;
    `origin`, the id of its run, or of its study's run where the network itself never reached the store.
    """

    config: NetworkConfig
    network: RecurrentNetwork
    record: xr.Dataset
    blank_rows: int
    origin: str

    def lacks(self) -> list[str]:
        """The measurements that have to be made for the record to hold what is asked, in the order of `MEASUREMENTS`.

        These are those that are not there, that are of another version than the present one, or that depend on the number of blank
        rows where it was another.
        """
        asked = versions_of(names_in_set(self.config.measurements))
        return [name for name, version in asked.items() if not self._holds(name, version)]

    def merged(self, made: xr.Dataset) -> xr.Dataset:
        """The record with the new measurements `made` replacing outdated ones; its other arrays are unchanged.

        If they differ, the attribute `versions` names both the versions that made the network and those that measured it again.
        Raises `Refused` where the labels of a dimension differ.
        """
        now = measured(made.attrs)
        kept = {name: version for name, version in self._held.items() if name not in now and self._of_these_blank_rows(name)}
        held = kept | now
        order = [*MEASUREMENTS, *sorted(set(held) - set(MEASUREMENTS))]
        try:
            arrays = {str(name): array for name, array in made.data_vars.items()}
            for name, array in self._what_stays(kept, set(arrays)).items():
                arrays[name] = with_sources_of_both(array, arrays[name]) if name in arrays else array
            parts = [array.to_dataset() for array in arrays.values()]  # one by one, without labels that nothing has any more
            joined = xr.merge(parts, join="exact", compat="equals", combine_attrs="drop_conflicts")
        except ValueError:
            raise Refused("has other labels along a dimension than what is measured now") from None
        told = {MEASURED: measured_in_words({name: held[name] for name in order if name in held})}
        told |= {name: made.attrs[name] for name in OF_IMAGES if name in made.attrs}
        return joined.assign_attrs(told, versions=_joined_versions(self.record.attrs.get("versions", "{}"), made_with(self.config)))

    @cached_property
    def _held(self) -> dict[str, int]:
        return measured(self.record.attrs)

    def _holds(self, name: str, version: int) -> bool:
        return self._held.get(name) == version and self._of_these_blank_rows(name)

    def _of_these_blank_rows(self, name: str) -> bool:
        """Whether a measurement that the record holds is what it would be under the blank rows that are asked for."""
        same = self.blank_rows == self.config.blank_rows
        return same or (name in MEASUREMENTS and not MEASUREMENTS[name].reads_blank_rows)

    def _what_stays(self, kept: Mapping[str, int], made: Collection[str]) -> dict[str, xr.DataArray]:
        """The arrays of the record, as far as they are of the measurements that are `kept`, or of the training.

        An array that names no measurement stays, too, where nothing is outdated and none of its name was `made`.
        """
        arrays, all_kept = {}, set(kept) == set(self._held)
        for name, array in self.record.data_vars.items():
            stays = array
            if names := set(measurements_of(array)):
                stays = without(array, names - set(kept) - {NOBODY})
            elif name in made or not (all_kept or _is_history(array)):
                continue
            if stays is not None:
                arrays[str(name)] = stays
        return arrays


def _is_history(array: xr.DataArray) -> bool:
    """Whether an array is of the training, which is not repeated."""
    return bool({"epoch", "epoch_from_0", "epoch_sampled"} & set(array.dims))


def _joined_versions(stored: str, versions: Mapping[str, str]) -> str:
    """The versions that made a network and those here, which measure it again: both, where they differ."""
    try:
        before = json_object(stored)
    except Refused:
        before = {}
    joined = {}
    for name, here in versions.items():
        there = str(before.get(name, "unknown"))
        joined[name] = there if there.rpartition(" and ")[2] == here else f"{there} and {here}"
    return json.dumps(joined)


def asked_key(training: str, config: NetworkConfig) -> str:
    """The record key of exactly what a configuration asks for."""
    return record_key(training, versions_of(names_in_set(config.measurements)), config.blank_rows)
