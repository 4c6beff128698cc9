from lifelearn.workspace.organizations.routes import router as router
