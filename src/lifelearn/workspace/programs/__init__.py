from lifelearn.workspace.programs.api import api as api
from lifelearn.workspace.programs.completions import completions as completions
from lifelearn.workspace.programs.routes import router as router
