from lifelearn.workspace.chats.routes import router as router
