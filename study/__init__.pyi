from .config import NetworkConfig, StudyConfig
from .data.sources import DATA_DIR, DataSource, Images, load_images, prepare_data
from .measurements import measure, register_measurement
from .measurements.recording import Recording
from .networks.cells import Cell, register_cell
from .networks.network import RecurrentNetwork, accuracy, scaled, tanh_network
from .record.network_record import read_measurements, write_measurements
from .schema import labelled
from .training.engine import train

__all__ = [
    "DATA_DIR",
    "Cell",
    "DataSource",
    "Images",
    "NetworkConfig",
    "Recording",
    "RecurrentNetwork",
    "StudyConfig",
    "accuracy",
    "labelled",
    "load_images",
    "measure",
    "prepare_data",
    "read_measurements",
    "register_cell",
    "register_measurement",
    "scaled",
    "tanh_network",
    "train",
    "write_measurements",
]
