"""Reading a user's message: is it a correction, and which words of it say what is right?"""
