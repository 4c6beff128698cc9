from lifelearn.workspace.accounts.routes import router as router
