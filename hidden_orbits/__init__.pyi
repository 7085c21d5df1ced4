from analysis import *
from reports import *
from study import *
