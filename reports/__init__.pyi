from .figures import FIGURES, draw
from .figures.figure import Figure
from .typesetting.pdf import build_comparison, build_report

__all__ = ["FIGURES", "Figure", "build_comparison", "build_report", "draw"]
